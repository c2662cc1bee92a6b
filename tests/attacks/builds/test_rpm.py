"""RPM packages and repositories of somebody who means harm to the machine that builds of them.

The threat model promises that a package can spoil the template that it is built into, and nothing
else: no file, process, device, kernel setting or network of the builder's. A repository is trusted
with what the keys have signed.
"""

import gzip
import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from builder.distros.rpm.dnf import Dnf
from builder.distros.rpm.rockylinux import RockyLinux
from builder.host.programs import Command
from builder.model.lock import Asked
from builder.model.recipe import Arch
from tests.support.needs import needs
from tests.support.oven import CHECKOUT
from tests.support.packages.archive import Fault, Mirror, serve
from tests.support.packages.rpm_archive import BASEOS, Rpm, RpmArchive
from tests.support.packages.rpm_world import RpmWorld, make_archive, rpm_world

pytestmark = needs(
    "root", "program:dnf", "program:rpmbuild", "program:rpmsign", "program:createrepo_c",
    "program:gpg", "program:bwrap",
)  # fmt: skip

PRECIOUS = "what the host has\n"

PRYING = """\
%post -n NAME
exec >/usr/share/report 2>&1
for way in "" /proc/1/root /../../../../..; do
    test -e $way@OUT@ && echo GOT a file by $way@OUT@
    true >$way@OUT@/new && echo GOT a new file by $way@OUT@
    true >$way/usr/bin/escaped-from-rpm && test -n "$way" && test $way != /../../../../.. &&
        echo GOT a program of the host
    for name in /proc/sys/kernel/panic /proc/sys/kernel/core_pattern /proc/sysrq-trigger; do
        true >>$way$name && echo GOT $way$name
    done
done
rm -f /usr/bin/escaped-from-rpm
chroot /proc/1/root /usr/bin/test -e @OUT@ && echo GOT out of the root
nsenter -t 1 -m /usr/bin/test -e @OUT@ && echo GOT other mounts
for way in "-t tmpfs none" "-t proc none" "--bind /proc/1/root" "-o remount,rw /proc/sys"; do
    mount $way /tmp && echo GOT mount $way
done
umount /proc/sys && echo GOT what is below a mount
mknod /root/disk b 259 0; mknod /root/disk8 b 8 0; mknod /root/kmsg c 1 11
for node in disk disk8 kmsg; do true </root/$node && echo GOT the device $node; done
rm -f /root/disk /root/disk8 /root/kmsg
kill -9 @VICTIM@ && echo GOT a process
grep -v -e "lo:" -e "|" /proc/net/dev && echo GOT a network
echo all was tried
:
"""
"""Every way out of a root that root knows, `@OUT@` being a folder and `@VICTIM@` a process of the
host's."""


@pytest.fixture(scope="module")
def outside(disk: Path) -> Path:
    """Give a folder of the host, which attacks are after."""
    (disk / "outside").mkdir()
    (disk / "outside/precious").write_text(PRECIOUS)
    return disk / "outside"


@pytest.fixture(scope="module")
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def archive(disk: Path, outside: Path, victim: "subprocess.Popen[bytes]") -> RpmArchive:
    script = PRYING.replace("@OUT@", str(outside)).replace("@VICTIM@", str(victim.pid))
    made = make_archive(disk / "rpm", [Rpm("prying", requires=("bash",), scripts=script)])
    leads, follows = disk / "leads", disk / "follows"
    for way in ("plain", "deep"):
        (follows / "usr/share" / way).mkdir(parents=True)
        for name in ("new", "precious"):
            (follows / "usr/share" / way / name).write_text("from a package\n")
    (leads / "usr/share").mkdir(parents=True)
    (leads / "usr/share/plain").symlink_to(outside)
    (leads / "usr/share/deep").symlink_to("../" * 12 + str(outside)[1:])
    made.build([Rpm("leads", files=('"/usr/share/plain"', '"/usr/share/deep"'))], tree=leads)
    listed = tuple(f'"/usr/share/{way}/{name}"' for way in ("plain", "deep")
                   for name in ("new", "precious"))  # fmt: skip
    made.build([Rpm("follows", requires=("leads",), files=listed)], tree=follows)
    node = "%post -n NAME\nmknod -m 666 /usr/share/disk b 8 0 && echo made\n"
    (disk / "raised/usr/bin").mkdir(parents=True)
    (disk / "raised/usr/bin/raised").write_text("#!/bin/sh\n")
    raised = '%attr(4755,root,root) %caps(cap_net_raw=ep) "/usr/bin/raised"'
    made.build([Rpm("raised", files=(raised,))], tree=disk / "raised")
    made.build([Rpm("nodes", requires=("bash",), scripts=node)])
    made.build([Rpm("unsigned")], signer=None)
    made.build([Rpm("strange")], signer="stranger")
    made.build([Rpm("swapped")])
    made.index(BASEOS)
    return made


@pytest.fixture(scope="module")
def mirror(archive: RpmArchive) -> Iterator[Mirror]:
    with serve(archive.pub) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def world(disk: Path, archive: RpmArchive, mirror: Mirror) -> RpmWorld:
    return rpm_world(disk / "world", mirror, archive)


def held(outside: Path) -> bool:
    return {path.name: path.read_text() for path in outside.iterdir()} == {"precious": PRECIOUS}


def test_no_scriptlet_leaves_its_root(
    world: RpmWorld, outside: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    world.said("prying")
    argv = ("tar", "-xOf", world.folder / "out/prying_amd64.tar.zst", "./usr/share/report")
    report = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    assert [line for line in report.splitlines() if "GOT" in line] == []
    assert report.endswith("all was tried\n")
    assert held(outside)
    assert victim.poll() is None
    assert not Path("/usr/bin/escaped-from-rpm").exists()


def test_no_package_leads_the_files_of_another_out(world: RpmWorld, outside: Path) -> None:
    """A link to a folder of the host in one package, and files below it in the next."""
    said = world.said("led", "follows", code=6)
    assert held(outside)
    assert "Error unpacking rpm package follows" in said


def test_no_template_has_a_device_that_a_scriptlet_made(world: RpmWorld) -> None:
    assert "`/usr/share/disk` is a device node" in world.said("nodes", code=6)


def test_nobody_reaches_a_set_id_program_of_a_package(world: RpmWorld) -> None:
    """The template has it, and in the cache there is a folder before it that root alone enters."""
    world.said("raised")
    argv = ("tar", "-tvf", world.folder / "out/raised_amd64.tar.zst", "./usr/bin/raised")
    listed = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    assert listed.startswith("-rwsr-xr-x")
    found = [path for path in world.oven.home.rglob("*") if is_set_id(path)]
    assert found
    for path in found:
        folders = list(path.relative_to(world.oven.home).parents)
        assert any(not (world.oven.home / folder).stat().st_mode & 0o001 for folder in folders)


def is_set_id(path: Path) -> bool:
    return stat.S_ISREG(mode := path.lstat().st_mode) and bool(mode & (stat.S_ISUID | stat.S_ISGID))


def test_dnf_reads_indexes_in_a_sandbox(world: RpmWorld, outside: Path) -> None:
    """It has the network and one folder, and sees nothing else of the host but programs."""
    folder = world.folder / "solver"
    declaration = RockyLinux().declaration
    asked = Asked(distro="rockylinux", suite="9", arch=Arch.AMD64, components=("main",), layers=())
    dnf = Dnf(folder, declaration, asked)
    tried = (
        f"cat {outside}/precious /etc/shadow; echo x >{outside}/new; ls /home /srv\n"
        f"test -e {CHECKOUT}/pyproject.toml && echo GOT\n"
        f"echo x >{folder}/dnf.conf; rm -rf {folder}/home; mknod {folder}/root/disk b 8 0\n"
        f"head -c1 {folder}/root/disk && echo GOT\n"
        "ip link add dev oven-try type dummy && echo GOT\n"
        f"kill -9 {os.getpid()}; echo all was tried"
    )
    done = dnf.run(Command(("sh", "-c", tried)))
    assert done.stdout.decode() == "all was tried\n"
    assert held(outside)
    assert {path.name for path in folder.iterdir()} == {"home", "root"}


@pytest.mark.parametrize("name", ["unsigned", "strange"])
def test_every_package_is_signed_with_a_key_that_is_trusted(world: RpmWorld, name: str) -> None:
    """Although the index vouches for it, and is signed."""
    said = world.said(name, code=5)
    assert f"the package `{name}` is not signed with a key that is trusted" in said


def test_a_package_is_what_its_index_says(
    world: RpmWorld, archive: RpmArchive, mirror: Mirror
) -> None:
    """Not one of another size, nor one of other bytes."""
    data = archive.package("swapped").read_bytes()
    for body in (data + b"more", data[:-1] + bytes([data[-1] ^ 1])):
        mirror.faults["/swapped-1.0-1.noarch.rpm"] = Fault(body=body, times=9)
        said = world.said("swapped", code=4)
        assert "swapped" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('href="Packages/swapped-', 'href="../../../../../escaped-'),
        ('href="Packages/swapped-', 'href="Packages/a.rpm: digests signatures OK&#10;/swapped-'),
        ("<name>swapped</name>", "<name>../../swapped</name>"),
    ],
)
def test_no_index_names_a_file_elsewhere(
    world: RpmWorld, archive: RpmArchive, old: str, new: str
) -> None:
    """Nor a package that no lock could have, although a key that is trusted has signed it."""
    forge(archive, old, new)
    recipe = world.recipe("swapped")
    said = world.oven.said("lock", "--update", recipe, code=4)
    archive.index(BASEOS)
    assert "swapped" in said


def forge(archive: RpmArchive, old: str, new: str) -> None:
    """Change what the index says of the package `swapped`, and sign all that again."""
    folder = archive.pub / BASEOS / "repodata"
    repomd = (folder / "repomd.xml").read_text()
    primary = next(folder.glob("*primary.xml.*"))  # newer ones of createrepo_c write zstd
    is_gzip = primary.suffix == ".gz"
    unpack = gzip.decompress if is_gzip else zstandard.ZstdDecompressor().decompressobj().decompress
    before = unpack(primary.read_bytes())
    start = before.index(b"<name>swapped</name>")
    changed = before[start:].replace(old.encode(), new.encode(), 1)
    assert changed != before[start:]
    after = before[:start] + changed
    packed = gzip.compress(after, mtime=0) if is_gzip else zstandard.compress(after)
    for was, now in ((before, after), (primary.read_bytes(), packed)):
        repomd = repomd.replace(hashlib.sha256(was).hexdigest(), hashlib.sha256(now).hexdigest())
        repomd = re.sub(rf"size>{len(was)}<", f"size>{len(now)}<", repomd)
    kind = primary.name.rpartition("-")[2]
    (folder / f"{hashlib.sha256(packed).hexdigest()}-{kind}").write_bytes(packed)
    (folder / "repomd.xml").write_text(repomd)
    archive.sign_index(BASEOS, "archive")
