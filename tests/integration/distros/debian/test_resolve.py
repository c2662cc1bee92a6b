"""Resolving against a real, signed archive, with a mirror that behaves and one that does not."""

import dataclasses
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.distros import ArchiveSources, MirrorSettings, UnknownPackageError, distro
from builder.distros.debian.archive import solve
from builder.distros.debian.archive.indexes import Index, Pocket, find_pockets
from builder.distros.debian.family import DEBIAN
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.errors import HostError, OvenError, RecipeError, TrustError, UpstreamError
from builder.model.lock import Asked, AskedLayer, Lock
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import digest_of
from builder.recipes.lock_files import LockFiles, lock_for
from builder.stages.resolve import resolve
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.needs import needs
from tests.support.packages.archive import EPOCH, Archive, Fault, Mirror, dead_url, serve

pytestmark = needs("program:apt-ftparchive", "program:dpkg-deb", "program:gpg", "program:gpgv")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive.make(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def mirror(archive: Archive) -> Iterator[Mirror]:
    with serve(archive.root) as mirror:
        yield mirror


@pytest.fixture
def sources(archive: Archive, mirror: Mirror, tmp_path: Path) -> ArchiveSources:
    return ArchiveSources(mirror.urls, archive.keyring, tmp_path / "cache")


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(Store(tmp_path / "store"), on_host, Net(Silent()), Silent(), 2)


def asked(*install: str, recommends: bool = False, appliance: tuple[str, ...] = ()) -> Asked:
    return Asked(
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        components=("main",),
        layers=(
            AskedLayer(recipe="template", install=install, recommends=recommends),
            AskedLayer(recipe="appliance", install=appliance),
        ),
    )


def later(sources: ArchiveSources) -> ArchiveSources:
    """Give the sources as another command has them."""
    return dataclasses.replace(sources, fresh=set())


def names(lock: Lock, layer: str) -> list[str]:
    return [package.name for package in lock.packages if package.layer == layer]


def kept(sources: ArchiveSources) -> list[str]:
    """Name the indexes that are kept for the next time."""
    return [path.name for path in sources.cache.rglob("*_*") if path.is_file()]


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
    with pytest.raises(RecipeError, match="Conflicts: exim"):
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


def fails(kind: type[OvenError], match: str, sources: ArchiveSources, tools: Tools) -> OvenError:
    with pytest.raises(kind, match=match) as caught:
        resolve(asked("web"), sources, tools)
    return caught.value


def test_mirror_is_down(sources: ArchiveSources, tools: Tools) -> None:
    url = dead_url()
    down = {"debian": (f"{url}/debian",), "debian-security": (f"{url}/debian-security",)}
    error = fails(
        UpstreamError,
        f"cannot download `{url}/debian.*InRelease`: .*(refused|Unable to connect)",
        dataclasses.replace(sources, mirrors=down),
        tools,
    )
    assert error.hint


def test_next_mirror_is_tried(sources: ArchiveSources, mirror: Mirror, tools: Tools) -> None:
    urls = {"debian": (f"{dead_url()}/debian", *mirror.urls["debian"])}
    mirrors = {**mirror.urls, **urls}
    lock = resolve(asked("web"), dataclasses.replace(sources, mirrors=mirrors), tools)
    assert lock == resolve(asked("web"), sources, tools)


@pytest.mark.parametrize("fault", ["expired", "other bytes"])
def test_next_mirror_is_tried_for_a_stale_index(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools, fault: str
) -> None:
    """A mirror that is being changed has an index that does not fit its own hashes."""
    with serve(archive.root) as stale:
        release = archive.release()
        if fault == "expired":
            until = b"Valid-Until: Sun, 02 Jun 2024 12:00:00 UTC\nCodename:"
            old = archive.sign(release.replace(b"Codename:", until))
            stale.faults["bookworm/InRelease"] = Fault(body=old)
        else:
            stale.faults["bookworm/main/binary-amd64/Packages"] = Fault(body=b"Package: web\n")
        urls = {"debian": (*stale.urls["debian"], *mirror.urls["debian"])}
        both = dataclasses.replace(sources, mirrors={**mirror.urls, **urls})
        lock = resolve(asked("web"), both, tools)
    assert stale.asked("dists/bookworm/InRelease")
    assert mirror.asked("dists/bookworm/InRelease")
    assert lock == resolve(asked("web"), sources, tools)


def test_a_mirror_that_does_not_come_to_an_end_is_given_up(
    sources: ArchiveSources, mirror: Mirror, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one is asked."""
    monkeypatch.setattr(solve, "PATIENCE", 2.0)
    go_on = threading.Event()
    with serve(mirror.root) as slow:
        slow.faults["bookworm/InRelease"] = Fault(wait=go_on)
        only = dataclasses.replace(sources, mirrors=slow.urls)
        fails(UpstreamError, "did not give the indexes in 2 seconds", only, tools)
        urls = {"debian": (*slow.urls["debian"], *mirror.urls["debian"])}
        both = dataclasses.replace(sources, mirrors={**mirror.urls, **urls})
        lock = resolve(asked("web"), both, tools)
        go_on.set()
    assert lock == resolve(asked("web"), sources, tools)


def older(lock: Lock, sources: ArchiveSources, name: str, version: str) -> Lock:
    """Give a lock that has another version of a package."""
    (lists,) = sources.cache.glob("apt/*/var/lib/apt/lists")
    index = Index(find_pockets(lists, DEBIAN.pockets("bookworm", "amd64")))
    layer, requested = next((p.layer, p.requested) for p in lock.packages if p.name == name)
    other = index.package(name, version, layer, requested=requested)
    packages = tuple(other if p.name == name else p for p in lock.packages)
    return msgspec.structs.replace(lock, packages=packages, epoch=7)


def versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_a_lock_is_extended_without_asking(
    sources: ArchiveSources, mirror: Mirror, tools: Tools
) -> None:
    lock = resolve(asked("tzdata", appliance=("exim",)), sources, tools)
    old = older(older(lock, sources, "tzdata", "2024a"), sources, "libtiny", "1.0")
    mirror.requests.clear()
    new = resolve(asked("tzdata", "cron", appliance=("exim",)), sources, tools, old)
    assert mirror.requests == []
    assert versions(new) == {**versions(old), "cron": "1.0"}
    assert {p for p in new.packages if p.name != "cron"} == set(old.packages)
    assert (new.epoch, new.releases) == (7, old.releases)


def test_a_lock_is_extended_where_its_indexes_are_not(
    sources: ArchiveSources, mirror: Mirror, tools: Tools, tmp_path: Path
) -> None:
    old = older(resolve(asked("tzdata"), sources, tools), sources, "tzdata", "2024a")
    elsewhere = dataclasses.replace(sources, cache=tmp_path / "elsewhere")
    new = resolve(asked("tzdata", "cron"), elsewhere, tools, old)
    assert versions(new) == {**versions(old), "cron": "1.0"}
    assert new.epoch == 7
    assert versions(resolve(asked("tzdata", "cron"), elsewhere, tools))["tzdata"] == "2024b"


def test_what_the_index_has_no_more_gets_a_new_version(
    sources: ArchiveSources, tools: Tools
) -> None:
    lock = resolve(asked("tzdata"), sources, tools)
    gone = msgspec.structs.replace(
        next(p for p in lock.packages if p.name == "tzdata"), version="2023z", sha256="9" * 64
    )
    others = older(lock, sources, "libtiny", "1.0").packages
    old = msgspec.structs.replace(
        lock, packages=tuple(gone if p.name == "tzdata" else p for p in others), epoch=7
    )
    new = resolve(asked("tzdata", "cron"), sources, tools, old)
    assert versions(new) == {**versions(old), "tzdata": "2024b", "cron": "1.0"}
    assert new.epoch == EPOCH


def test_locked_versions_do_not_stand_in_the_way(sources: ArchiveSources, tools: Tools) -> None:
    old = older(resolve(asked("web"), sources, tools), sources, "libtiny", "1.0")
    new = resolve(asked("web", "needy"), sources, tools, old)
    assert versions(new)["libtiny"] == "1.1~u1"
    assert new == resolve(asked("web", "needy"), sources, tools)


def test_a_lock_for_something_else_is_not_kept(sources: ArchiveSources, tools: Tools) -> None:
    old = older(resolve(asked("tzdata"), sources, tools), sources, "tzdata", "2024a")
    elsewhere = msgspec.structs.replace(old.asked, components=("main", "contrib"))
    old = msgspec.structs.replace(old, asked=elsewhere)
    assert versions(resolve(asked("tzdata"), sources, tools, old))["tzdata"] == "2024b"


def test_a_misspelt_name_is_told_with_a_lock_too(sources: ArchiveSources, tools: Tools) -> None:
    old = resolve(asked("web"), sources, tools)
    with pytest.raises(UnknownPackageError, match="no package `libwep` in Debian"):
        resolve(asked("web", "libwep"), sources, tools, old)


def test_notes_of_another_index_are_not_used(sources: ArchiveSources, tools: Tools) -> None:
    """What is noted about the indexes belongs to these very files."""
    first = resolve(asked("web"), sources, tools)
    (notes,) = sources.cache.glob("apt/*/contents")
    for damage in (b"", notes.read_bytes()[:-9], b"\x80"):
        notes.write_bytes(damage)
        assert resolve(asked("web"), sources, tools) == first
    (packages,) = sources.cache.glob("apt/*/var/lib/apt/lists/*_dists_bookworm_main_*_Packages")
    packages.write_bytes(packages.read_bytes().replace(b"Package: cron\n", b"Package: crom\n"))
    with pytest.raises(UnknownPackageError):
        resolve(asked("cron"), sources, tools)


def test_suite_is_not_there(sources: ArchiveSources, mirror: Mirror, tools: Tools) -> None:
    for name in ("InRelease", "Release", "Release.gpg"):
        mirror.faults[f"bookworm-updates/{name}"] = Fault(status=404)
    fails(UpstreamError, rf"{mirror.url}/debian\S* bookworm-updates", sources, tools)


@pytest.mark.parametrize("file", ["bookworm/InRelease", "main/binary-amd64/Packages"])
def test_truncation(sources: ArchiveSources, mirror: Mirror, tools: Tools, file: str) -> None:
    mirror.faults[file] = Fault(cut=300)
    fails(UpstreamError, rf"`{mirror.url}/debian\S*/{file}`", sources, tools)


def test_wrong_bytes(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    packages = archive.root / "debian/dists/bookworm/main/binary-amd64/Packages"
    forged = packages.read_bytes().replace(b"Package: web\n", b"Package: wab\n")
    mirror.faults["bookworm/main/binary-amd64/Packages"] = Fault(body=forged)
    fails(UpstreamError, rf"`{mirror.url}/debian/dists/bookworm/main\S*`.*Hash Sum", sources, tools)


def test_page_in_place_of_an_index(sources: ArchiveSources, mirror: Mirror, tools: Tools) -> None:
    for name in ("InRelease", "Release"):
        mirror.faults[f"bookworm/{name}"] = Fault(body=b"<html>Please log in</html>\n")
    fails(UpstreamError, rf"{mirror.url}/debian", sources, tools)


def test_bad_signature(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    forged = archive.in_release().read_bytes().replace(b"Origin: Debian", b"Origin: Dabian")
    mirror.faults["bookworm/InRelease"] = Fault(body=forged)
    error = fails(
        TrustError,
        rf"not good: {mirror.url}/debian.*(BADSIG|: Message has been manipulated$)",
        sources,
        tools,
    )
    assert error.hint
    assert kept(sources) == []


def test_unknown_key(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    signed = archive.sign(archive.release(), user="stranger@example.invalid")
    mirror.faults["bookworm/InRelease"] = Fault(body=signed)
    fails(TrustError, "not good: .*(NO_PUBKEY|: Missing key)", sources, tools)
    assert kept(sources) == []


def test_bad_signature_after_a_good_one(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools, tmp_path: Path
) -> None:
    files = LockFiles("web", tmp_path / "web.lock", tmp_path)
    resolve(asked("web"), sources, tools)
    newer = archive.release().replace(b"Sat, 01 Jun", b"Tue, 04 Jun")
    signed = archive.sign(newer, user="stranger@example.invalid")
    mirror.faults["bookworm/InRelease"] = Fault(body=signed)
    with pytest.raises(TrustError):
        lock_for(
            asked("web"),
            files,
            lambda _: resolve(asked("web"), later(sources), tools),
            Silent(),
            now=0,
        )
    assert kept(sources) == []
    assert not files.committed.exists()
    assert not files.implicit(asked()).exists()


def test_other_suite_in_its_place(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    for name in ("InRelease", "main/binary-amd64/Packages"):
        other = archive.root / "debian/dists/bookworm-updates" / name
        mirror.faults[f"bookworm/{name}"] = Fault(body=other.read_bytes())
    fails(TrustError, "serves `bookworm-updates` in place of `bookworm`", sources, tools)
    assert kept(sources) == []


def test_expired_index(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    old = archive.release().replace(
        b"Codename:", b"Valid-Until: Sun, 02 Jun 2024 12:00:00 UTC\nCodename:"
    )
    mirror.faults["bookworm/InRelease"] = Fault(body=archive.sign(old))
    error = fails(
        UpstreamError, rf"{mirror.url}/debian/dists/bookworm.* is expired", sources, tools
    )
    assert "clock" in (error.hint or "")


def test_keyring_is_missing(sources: ArchiveSources, tools: Tools, tmp_path: Path) -> None:
    error = fails(
        HostError,
        "the keys of Debian's archive are not at",
        dataclasses.replace(sources, keyring=tmp_path / "none.gpg"),
        tools,
    )
    assert error.hint
    assert error.hint.startswith("apt-get install debian-archive-keyring, or ")


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
