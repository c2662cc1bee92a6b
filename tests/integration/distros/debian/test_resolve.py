"""Resolving against a real, signed archive: what is locked, and what cannot be."""

import dataclasses
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from builder.distros import ArchiveSources, MirrorSettings, UnknownPackageError, distro
from builder.distros.debian.archive.indexes import Index
from builder.distros.debian.archive.pockets import Pocket
from builder.model.errors import RecipeError
from builder.model.lock import Asked
from builder.model.recipe import Arch
from builder.model.value import digest_of
from builder.stages.resolve import resolve
from builder.stages.tools import Tools
from tests.support.needs import needs
from tests.support.packages.archive import EPOCH, Archive, Mirror
from tests.support.packages.resolving import asked, later, names

pytestmark = needs("program:apt-ftparchive", "program:dpkg-deb", "program:gpg", "program:gpgv")


def test_minimum(sources: ArchiveSources, archive: Archive, tools: Tools) -> None:
    lock = resolve(asked(), sources, tools)
    assert names(lock, "base") == ["apt", "base-files", "libapt", "libtiny", "login", "mawk"]
    assert len(lock.packages) == 6
    assert lock.epoch == EPOCH
    assert lock.recipe == digest_of(asked())
    assert [(r.archive, r.suite) for r in lock.releases] == [
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
    ]
    assert all(release.signed_by == (archive.fingerprint,) for release in lock.releases)


def test_what_is_locked_is_in_the_pool(
    sources: ArchiveSources, archive: Archive, tools: Tools
) -> None:
    lock = resolve(asked("web"), sources, tools)
    for package in lock.packages:
        file = archive.root / package.archive / package.path
        assert file.stat().st_size == package.size
        printed = subprocess.run(["sha256sum", file], capture_output=True, check=True).stdout
        assert printed.decode().startswith(package.sha256)
    apt = next(package for package in lock.packages if package.name == "apt")
    assert (apt.version, apt.arch, apt.requested) == ("1:2.6", "amd64", True)


def test_pockets_win(sources: ArchiveSources, tools: Tools) -> None:
    lock = resolve(asked("tzdata"), sources, tools)
    found = {package.name: package for package in lock.packages}
    assert (found["libtiny"].version, found["libtiny"].archive) == ("1.1~u1", "debian-security")
    assert (found["tzdata"].version, found["tzdata"].archive) == ("2024b", "debian")


def test_layers(sources: ArchiveSources, tools: Tools) -> None:
    below = resolve(asked("cron"), sources, tools)
    lock = resolve(asked("cron", appliance=("web", "cron")), sources, tools)
    assert names(lock, "template") == ["cron"]
    assert names(lock, "appliance") == ["libweb", "web"]  # cron is what `web` needs a mailer for
    assert [p for p in lock.packages if p.layer != "appliance"] == list(below.packages)
    requested = [p.name for p in lock.packages if p.layer == "appliance" and p.requested]
    assert requested == ["web"]


def test_recommends_only_when_asked(sources: ArchiveSources, tools: Tools) -> None:
    assert "web-docs" not in names(resolve(asked("web"), sources, tools), "template")
    with_them = resolve(asked("web", recommends=True), sources, tools)
    assert "web-docs" in names(with_them, "template")


def test_again_is_the_same_and_asks_little(
    sources: ArchiveSources, mirror: Mirror, tools: Tools, tmp_path: Path
) -> None:
    first = resolve(asked("web"), sources, tools)
    elsewhere = dataclasses.replace(sources, cache=tmp_path / "elsewhere")
    assert resolve(asked("web"), elsewhere, tools) == first
    mirror.requests.clear()
    assert resolve(asked("web"), later(sources), tools) == first
    assert {path.rpartition("/")[2] for path, _ in mirror.requests} == {"InRelease"}


def test_host_apt_is_left_alone(sources: ArchiveSources, tools: Tools) -> None:
    def state() -> list[tuple[str, int]]:
        folders = (Path("/var/lib/apt"), Path("/var/cache/apt"), Path("/etc/apt"))
        files = [file for folder in folders for file in folder.rglob("*")]
        return sorted((str(file), file.stat().st_mtime_ns) for file in files if file.exists())

    before = state()
    resolve(asked("web"), sources, tools)
    assert state() == before


def test_choice_keeps_the_order_of_the_index(tmp_path: Path) -> None:
    """Between equal providers apt takes the first one, which hashes must not decide."""
    providers = [
        f"Package: p{n}\nVersion: 1\nProvides: other-one, mailer\n" for n in (5, 3, 9, 1, 7)
    ]
    text = "\n".join(
        [*providers, "Package: other\nVersion: 1\n", "Package: x\nDepends: mailer (= 1)\n"]
    )
    file = tmp_path / "Packages"
    file.write_text(text)
    index = Index([Pocket("debian", "bookworm", file, (file,))])
    found = re.findall(
        r"^Package: (.+)$", index.reachable(["x"], recommends=False).decode(), re.MULTILINE
    )
    assert found == ["p5", "p3", "p9", "p1", "p7", "x"]


def test_unknown_package(sources: ArchiveSources, tools: Tools) -> None:
    with pytest.raises(UnknownPackageError, match="no package `libwep` in Debian") as caught:
        resolve(asked("web", "libwep"), sources, tools)
    assert caught.value.name == "libwep"
    assert caught.value.hint == "did you mean `libweb`?"


def test_unsatisfiable_package(sources: ArchiveSources, tools: Tools) -> None:
    with pytest.raises(
        RecipeError, match=r"(?s)cannot install `torn`:\n.*Depends: nowhere"
    ) as caught:
        resolve(asked("torn"), sources, tools)
    assert "Reading package lists" not in caught.value.problem


def test_conflict_within_a_layer(sources: ArchiveSources, tools: Tools) -> None:
    with pytest.raises(RecipeError, match=r"beside each other: `.*` says `Conflicts: "):
        resolve(asked("exim", "postfix"), sources, tools)


def test_conflict_with_the_layer_below(sources: ArchiveSources, tools: Tools) -> None:
    with pytest.raises(RecipeError, match="`postfix` cannot be installed beside `exim`"):
        resolve(asked("exim", appliance=("postfix",)), sources, tools)


@pytest.mark.parametrize(
    ("change", "problem", "hint"),
    [
        ({"suite": "bokworm"}, "unknown suite `bokworm`", "did you mean `bookworm`"),
        ({"suite": "warty"}, "unknown suite `warty`", "there are: "),
        ({"arch": Arch.S390X}, "no packages for `s390x`", None),
        ({"components": ("mian",)}, "no component `mian`", "there are: main"),
        ({"distro": "debain"}, "unknown distribution `debain`", "debian"),
    ],
)
def test_bad_base(
    sources: ArchiveSources, tools: Tools, change: dict[str, str], problem: str, hint: str | None
) -> None:
    base = {
        "distro": "debian",
        "suite": "bookworm",
        "arch": "amd64",
        "components": ("main",),
        "layers": (),
    }
    with pytest.raises(RecipeError, match=problem) as caught:
        resolve(msgspec.convert({**base, **change}, Asked), sources, tools)
    assert (hint or "") in (caught.value.hint or "")


@needs("archive")
def test_real_bookworm(tools: Tools, tmp_path: Path) -> None:
    """The layers are those of one big simulation over the whole suite, by the host's apt."""
    found = distro("debian").sources(asked(), MirrorSettings(), tmp_path / "cache")
    lock = resolve(asked("systemd-sysv", "dbus", appliance=("nginx",)), found, tools)
    assert {"dpkg", "bash", "apt", "libc6", "usr-is-merged"} <= set(names(lock, "base"))
    assert "nginx" in names(lock, "appliance")

    config = next(tmp_path.rglob("apt.conf"))
    empty = "-oDir::State::status=/dev/null"
    simulate = ("apt-get", "install", "-s", "-qq", empty, "--no-install-recommends", "--")
    wanted = ("?or(?essential,?priority(required))", "apt", "usr-is-merged")
    done = subprocess.run(
        [*simulate, *wanted],
        env={"APT_CONFIG": str(config), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        check=True,
    )
    said = [line.split()[1] for line in done.stdout.decode().splitlines() if line[:4] == "Inst"]
    assert sorted(said) == names(lock, "base")
