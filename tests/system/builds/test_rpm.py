"""The RPM family: real packages and scriptlets become templates that boot, byte for byte."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from tests.support.hosts.ordinary_user import ENOUGH, account, give_packages, run_by
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven, text
from tests.support.packages.archive import Fault, Mirror, serve
from tests.support.packages.rpm_archive import BASEOS, EPOCH, Rpm, RpmArchive
from tests.support.packages.rpm_system import system_packages

pytestmark = needs(
    "root", "archive", "program:dnf", "program:rpmbuild", "program:rpmsign",
    "program:createrepo_c", "program:gpg",
)  # fmt: skip

DONOR = """\
[template]
name = "donor"

[base]
distro = "debian"
suite = "bookworm"

[packages]
install = ["dbus", "iproute2", "iputils-ping", "libcap2-bin", "procps", "systemd-sysv"]
"""

SHIPPED = CHECKOUT / "recipes/rockylinux-9.toml"

APPLIANCE = """\
from = "rocky"

[template]
name = "{name}"

[packages]
install = ["{name}"]
"""

DATABASE = "var/lib/rpm/rpmdb.sqlite"


@dataclass(frozen=True)
class Rocky:
    """A project with a recipe, and the archive that it is built from."""

    recipe: Path
    archive: RpmArchive
    mirror: Mirror
    oven: Oven

    def appliance(self, name: str) -> Path:
        """Write an appliance that installs the package of its own name."""
        path = self.recipe.parent.parent / f"appliances/{name}/appliance.toml"
        path.parent.mkdir(parents=True)
        path.write_text(APPLIANCE.format(name=name))
        return path


@pytest.fixture(scope="module")
def rocky(oven: Oven, disk: Path) -> Iterator[Rocky]:
    """Rocky Linux as far as dnf, rpm and Oven can tell, of Debian's files."""
    project = disk / "rocky"
    recipes = project / "recipes"
    (recipes / "rocky/overlay/etc").mkdir(parents=True)
    (recipes / "rocky/overlay/etc/motd.j2").write_text("{{ template.name }} it is\n")
    (recipes / "donor.toml").write_text(DONOR)
    oven("build", recipes / "donor.toml", "--no-probe", "-o", disk)
    tree = disk / "donor"
    tree.mkdir()
    subprocess.run(["tar", "-C", tree, "-xf", disk / "donor_amd64.tar.zst"], check=True)
    archive = RpmArchive.make(disk / "rpm-archive", system_packages(tree), tree=tree)
    settings = disk / "rocky-config/oven/settings.toml"
    settings.parent.mkdir(parents=True)
    with serve(archive.pub) as mirror:
        settings.write_text(
            f'[archive.rockylinux]\nmirrors = ["{mirror.url}"]\nkeyring = "{archive.keyring}"\n'
        )
        configured = oven.having(XDG_CONFIG_HOME=str(settings.parent.parent))
        yield Rocky(write_recipe(recipes), archive, mirror, configured)


def write_recipe(recipes: Path) -> Path:
    """Write the shipped recipe, with what the archive has no other name for."""
    shipped = SHIPPED.read_text()
    for old, new in {
        'name = "rockylinux-9"': 'name = "rocky"',
        '"dbus-broker"': '"dbus"',
        '    "less",\n': "",
        '["amd64", "arm64"]': '["amd64"]',
    }.items():
        assert old in shipped
        shipped = shipped.replace(old, new)
    path = recipes / "rocky.toml"
    path.write_text(f'{shipped}\n[[user]]\nname = "ada"\n')
    return path


@pytest.fixture(scope="module")
def by_root(rocky: Rocky) -> str:
    """The hash of what root builds; its lock becomes the project's."""
    expected = rocky.oven.sha256(rocky.recipe)
    rocky.oven("lock", rocky.recipe)
    return expected


@pytest.fixture(scope="module")
def members(rocky: Rocky, by_root: str, disk: Path) -> dict[str, tarfile.TarInfo]:
    """What is in the template, by path; it lies unpacked in `DISK/rocky-tree` as well."""
    path = next((rocky.oven.home / "cache/v1/blobs").glob(f"*/{by_root}"))
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
    plain = data.read()
    tree = disk / "rocky-tree"
    tree.mkdir()
    options = ("--xattrs", "--xattrs-include=*")
    subprocess.run(["tar", "-C", tree, *options, "-xf", "-"], input=plain, check=True)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        return {member.name.removeprefix("./"): member for member in archive}


def rpm(disk: Path, *argv: str, code: int = 0) -> list[str]:
    """Ask the host's rpm about the tree."""
    line = ["rpm", f"--root={disk}/rocky-tree", "--dbpath=/var/lib/rpm", *argv]
    done = subprocess.run(line, capture_output=True)
    assert done.returncode == code, text(done.stdout + done.stderr)
    return text(done.stdout).splitlines()


def test_packages_are_installed_as_rpm_would(
    rocky: Rocky, members: dict[str, tarfile.TarInfo], disk: Path
) -> None:
    lock = json.loads((rocky.recipe.parent / "rocky.lock").read_text())
    locked = {f"{one['name']}-{one['version']}" for one in lock["packages"]}
    shown = "%{NAME}-%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{INSTALLTIME}\n"
    there = dict(line.split() for line in rpm(disk, "-qa", "--qf", shown))
    assert {name for name in there if not name.startswith("gpg-pubkey-")} == locked
    # Rpm adds a second for each package of a transaction.
    assert all(0 <= int(time) - EPOCH <= len(locked) for time in there.values())
    # Owners, modes, links, capabilities and contents; what accounts add to is the rest.
    changed = {line.split()[-1] for line in rpm(disk, "--verify", "--all", code=1)}
    accounts = {f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow")}
    assert changed == {*accounts, "/etc/ld.so.cache"}
    assert "SCHILY.xattr.security.capability" in members["usr/bin/ping"].pax_headers
    (key,) = rpm(disk, "-q", "gpg-pubkey", "--qf", "%{VERSION}\n")
    assert rocky.archive.fingerprint.lower().endswith(key)


def test_scriptlets_have_run(members: dict[str, tarfile.TarInfo], disk: Path) -> None:
    tree = disk / "rocky-tree"
    assert (tree / "usr/share/dbus-1/posttrans").read_text() == "scriptlets ran\n"
    accounts = (tree / "etc/passwd").read_text().splitlines()
    assert any(row.startswith("messagebus:") for row in accounts)
    assert members["etc/ld.so.cache"].size > 0


def test_the_recipe_s_own_is_there_and_the_build_s_is_not(
    members: dict[str, tarfile.TarInfo], disk: Path
) -> None:
    tree = disk / "rocky-tree"
    assert (tree / "etc/motd").read_text() == "rocky it is\n"
    assert (tree / "etc/machine-id").read_bytes() == b""
    assert members["home/ada"].uid == 1000
    assert DATABASE in members
    assert "etc/dnf" not in members
    folders = ("var/log/", "var/cache/", "var/lib/dnf/", "run/", "tmp/", "root/")
    files = {name for name, member in members.items() if not member.isdir()}
    assert {name for name in files if name.startswith(folders)} == set()
    beside = {name for name in files if name.startswith(("var/lib/rpm/", "usr/lib/sysimage/"))}
    assert beside == {DATABASE}


def test_a_second_build_does_nothing(rocky: Rocky, by_root: str) -> None:
    said = rocky.oven.said("build", "--explain", rocky.recipe)
    verdicts = [line for line in said.splitlines() if " nothing changed" in line]
    assert len(verdicts) >= 4
    assert all(" kept " in line for line in verdicts)
    assert rocky.oven.sha256(rocky.recipe) == by_root


@pytest.mark.slow
@pytest.mark.usefixtures("by_root")
def test_two_builds_from_nothing_are_proven_to_be_the_same(rocky: Rocky) -> None:
    # As another user, in another folder, with files in another order, and a second later.
    assert "proven: all bytes are the same" in text(rocky.oven("prove", rocky.recipe).stdout)


@pytest.mark.needs("userns", "program:newuidmap", "program:useradd")
def test_an_ordinary_user_builds_the_same_bytes(
    rocky: Rocky, by_root: str, installed: Oven, disk: Path
) -> None:
    with (
        account("oven-test-r", uids=(ENOUGH,), gids=(ENOUGH,)) as user,
        run_by(user, installed, disk) as as_user,
    ):
        give_packages(as_user, user, rocky.oven.home)
        configured = as_user.having(**rocky.oven.env)
        assert configured.sha256("--locked", "--no-probe", rocky.recipe) == by_root


@pytest.mark.needs("program:conmon", "program:runc")
@pytest.mark.usefixtures("by_root")
def test_it_boots(rocky: Rocky) -> None:
    name, oven = f"t-rocky-{os.getpid()}", rocky.oven
    before = Traces.of(oven.home)
    oven("run", "rocky", "--name", name)
    try:
        state = oven("exec", name, "--", "systemctl", "is-system-running")
        assert text(state.stdout) == "running\n"
        failed = oven("exec", name, "--", "systemctl", "--failed", "--plain", "--no-legend")
        assert failed.stdout == b""
        # The capability of the file is what lets somebody do this who is not root.
        oven("exec", name, "--", "runuser", "-u", "ada", "--", "ping", "-c1", "127.0.0.1")
        assert b'ID="rocky"' in oven("exec", name, "--", "cat", "/etc/os-release").stdout
    finally:
        oven("destroy", "--force", name)
    assert left_over(oven.home, before) == {}


# What must not become a template


@pytest.mark.usefixtures("by_root")
@pytest.mark.parametrize("signer", ["stranger", None])
def test_a_package_that_nobody_trusted_has_signed(rocky: Rocky, signer: str | None) -> None:
    """The index vouches for its bytes, and is signed: still a package needs its own signature."""
    name = f"signed-by-{signer}".lower()
    rocky.archive.build([Rpm(name)], signer=signer)
    rocky.archive.index(BASEOS)
    said = rocky.oven.said("build", "--no-probe", rocky.appliance(name), code=5)
    assert f"the package `{name}` is not signed with a key that is trusted" in said


@pytest.mark.usefixtures("by_root")
def test_a_package_that_is_not_the_one_of_the_index(rocky: Rocky) -> None:
    rocky.archive.build([Rpm("tampered")])
    rocky.archive.index(BASEOS)
    data = bytearray(rocky.archive.package("tampered").read_bytes())
    data[-100] ^= 1
    rocky.mirror.faults["/tampered-1.0-1.noarch.rpm"] = Fault(body=bytes(data), times=9)
    said = rocky.oven.said("build", "--no-probe", rocky.appliance("tampered"), code=4)
    assert "tampered" in said


@pytest.mark.usefixtures("by_root")
@pytest.mark.parametrize("section", ["pre", "post", "posttrans"])
def test_a_scriptlet_that_fails(rocky: Rocky, section: str) -> None:
    """Rpm itself goes on when %post or %posttrans do."""
    name = f"broken-{section}"
    script = f"%{section} -n NAME\necho I am told >&2\nexit 3\n"
    rocky.archive.build([Rpm(name, requires=("bash",), scripts=script)])
    rocky.archive.index(BASEOS)
    said = rocky.oven.said("build", "--no-probe", rocky.appliance(name), code=6)
    assert f"the `%{section}` scriptlet of the package `{name}-1.0-1.noarch` failed" in said
    assert "I am told" in said


@pytest.mark.usefixtures("by_root")
def test_scriptlets_reach_nothing_of_the_host(rocky: Rocky, disk: Path) -> None:
    """Neither its files, nor its processes, nor the network."""
    seen = disk / "host-file"
    seen.write_text("of the host\n")
    script = (
        "%post -n NAME\nexec 2>&1\n"
        f"for path in {seen} /proc/1/root{seen} /../../..{seen}; do\n"
        "    if test -e $path; then echo found $path; exit 1; fi\n"
        "done\n"
        "ip -o link | grep -v ' lo: ' && exit 1\n"
        "ls /proc | grep -c '^[0-9]' >/usr/share/processes\n"
        "echo 1 2>/dev/null >/proc/sys/kernel/panic && exit 1\n"
        ":\n"
    )
    rocky.archive.build([Rpm("prying", requires=("bash", "iproute"), scripts=script)])
    rocky.archive.index(BASEOS)
    rocky.oven("build", "--no-probe", rocky.appliance("prying"), "-o", disk)
    argv = ("tar", "-xOf", f"{disk}/prying_amd64.tar.zst", "./usr/share/processes")
    assert int(subprocess.run(argv, capture_output=True, check=True).stdout) < 12
