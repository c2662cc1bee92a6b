"""Packages of an archive that is trusted, and that somebody has taken over.

The threat model promises that a package can spoil the template that it is built into, and nothing
else on the builder's machine: not a file, not the memory, not the disk, not the time.
"""

import os
import re
import shutil
import signal
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_world
from tests.support.needs import needs
from tests.support.packages import hostile_debs
from tests.support.packages.archive import Archive, Deb, serve
from tests.support.packages.hostile_debs import Member, control, member, tar, write_deb, write_parts

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

BASE, ESSENTIAL, LAYER = "Priority: required", "Essential: yes\nPriority: required", ""
PRECIOUS = "what the host has\n"
STUCK = 60
"""Seconds, of what takes two."""
ENDLESS = b"#!/bin/sh\nkill -STOP $$\n"
MEMORY = 400_000
"""Kilobytes, of a build; it takes less than half of that."""


@pytest.fixture(scope="module")
def small(disk: Path) -> Archive:
    """An archive with a system so small that it is built in a second."""
    return Archive.make(disk / "honest", packages(disk / "honest-packages"))


@dataclass
class Siege:
    """A world whose archive attacks, and a folder of the host that it is after."""

    folder: Path
    small: Archive
    stack: ExitStack

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    def world(self, *debs: Deb, wanted: str = "plain") -> World:
        """Make a world whose archive has these packages too."""
        archive = self.small.grown(self.folder / "archive", *debs)
        mirror = self.stack.enter_context(serve(archive.root))
        return small_world(self.folder / "world", archive, mirror, wanted)

    def told(self, deb: Deb, hostile: Path) -> str:
        """Build with a package file that is not what its index says; give the error."""
        wanted = deb.name if deb.fields == LAYER else "plain"
        world = self.world(wanted=wanted)
        hostile_debs.publish(world.archive, deb, hostile)
        said = world.oven.said(*world.line[3:], code=6)
        assert deb.name in said
        return said

    def tree(self, name: str, *files: str) -> Path:
        """Make the folder of a package with some files."""
        for file in files or ("usr/share/doc/nothing",):
            path = self.folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("from a package\n")
        return self.folder / name

    def held(self) -> bool:
        """Tell whether nothing of the host was changed."""
        found = {path.name: path.read_text() for path in self.outside.iterdir()}
        strays = list(self.folder.parent.glob("escaped*"))
        return found == {"precious": PRECIOUS} and not strays


@pytest.fixture
def siege(disk: Path, small: Archive) -> Iterator[Siege]:
    folder = disk / f"siege-{os.urandom(3).hex()}"
    (folder / "outside").mkdir(parents=True)
    (folder / "outside/precious").write_text(PRECIOUS)
    with ExitStack() as stack:
        yield Siege(folder, small, stack)
    shutil.rmtree(folder)


@pytest.mark.parametrize("way", ["folder", "usr/folder"])
def test_no_package_leads_the_files_of_another_out(siege: Siege, way: str) -> None:
    """A link to a folder of the host in one package, files below it, and no folder, in the next."""
    link = siege.tree("first", "usr/share/doc/first") / way
    link.symlink_to(siege.outside)
    files = [member(f"./{way}/{name}", data=b"from a package") for name in ("new", "precious")]
    hostile = write_deb(siege.folder / "bbb.deb", {"control": control("bbb")}, files)
    world = siege.world(Deb("aaa", BASE, tree=siege.folder / "first"))
    hostile_debs.publish(world.archive, Deb("bbb", BASE), hostile)
    said = refused(world)
    assert siege.held()
    assert "bbb" in said
    assert "Traceback" not in said


def test_no_essential_package_leads_the_files_of_another_out(siege: Siege) -> None:
    """A link in one, and in the next a folder of that name with files in it."""
    link = siege.tree("first", "usr/share/doc/first") / "folder"
    link.symlink_to(siege.outside)
    more = siege.tree("second", "folder/precious", "folder/new")
    debs = (Deb("aaa", ESSENTIAL, tree=link.parent), Deb("bbb", ESSENTIAL, tree=more))
    said = refused(siege.world(*debs))
    assert siege.held()
    assert "the files of the package `bbb` cannot be laid into the tree" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("path", ["var/lib/dpkg/info", "var/lib/dpkg/triggers"])
def test_no_package_leads_what_the_builder_writes_out(siege: Siege, path: str) -> None:
    """A link where the builder itself writes: dpkg's database."""
    link = siege.tree("first") / path
    link.parent.mkdir(parents=True)
    link.symlink_to(siege.outside)
    world = siege.world(Deb("aaa", BASE, tree=siege.folder / "first"))
    assert world.oven.said(*world.line[3:], code=6)
    assert siege.held()


def test_debootstrap_is_led_nowhere_either(siege: Siege) -> None:
    """The same with the other bootstrap, which unpacks on the host."""
    link = siege.tree("first") / "folder"
    link.symlink_to(siege.outside)
    more = siege.tree("second", "folder/precious")
    world = siege.world(Deb("aaa", ESSENTIAL, tree=siege.folder / "first"),
                        Deb("bbb", ESSENTIAL, tree=more))  # fmt: skip
    said = world.oven.said(*world.line[3:], "--bootstrap", "debootstrap", code=6)
    assert siege.held()
    assert "`/folder` is a link that leads out of the tree" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (BASE, ("../../../escaped", "1.0", "all")),
        (BASE, ("odd", "1.0", "amd64")),
        (LAYER, ("odd", "2.0", "all")),
    ],
)
def test_a_package_is_what_its_index_says(
    siege: Siege, fields: str, said: tuple[str, str, str]
) -> None:
    """Name, version and architecture of the package's own control file are compared."""
    hostile = write_deb(siege.folder / "odd.deb", {"control": control(*said)})
    told = siege.told(Deb("odd", fields), hostile)
    assert siege.held()
    name, version, arch = said
    assert (
        f"the package file of `odd` 1.0 (all) says that it is `{name}` {version} ({arch})" in told
    )


@pytest.mark.parametrize("name", ["../../../../../escaped", "File"])
def test_triggers_are_names(siege: Siege, name: str) -> None:
    """A trigger's name is the name of a file that is written."""
    controls = {"control": control("odd"), "triggers": f"interest {name}\n".encode()}
    told = siege.told(Deb("odd", BASE), write_deb(siege.folder / "odd.deb", controls))
    assert siege.held()
    assert "the package `odd` is interested in" in told


def test_control_files_have_one_place(siege: Siege) -> None:
    """Nothing in the package's control part is laid elsewhere."""
    files = [member("./control", data=control("odd")), member("./../../../escaped", data=b"x")]
    parts = {"control.tar": tar(files), "data.tar": tar([])}
    told = siege.told(Deb("odd", BASE), write_parts(siege.folder / "odd.deb", parts))
    assert siege.held()
    assert "is no control file" in told


DEVICE, PIPE = member("./null", tarfile.CHRTYPE), member("./pipe", tarfile.FIFOTYPE)


@pytest.mark.parametrize(
    ("one", "told"),
    [(DEVICE, "`./null` is a device"), (PIPE, "`./pipe` is a named pipe")],
)
def test_a_package_has_no_special_files(siege: Siege, one: Member, told: str) -> None:
    """Device nodes and pipes are made by nobody but the host (Debian Policy 10.6)."""
    hostile = write_deb(siege.folder / "odd.deb", {"control": control("odd")}, [one])
    assert told in siege.told(Deb("odd", BASE), hostile)


def refused(world: World) -> str:
    """Build, which must fail, and soon; give what was said."""
    command = world.oven.start(*world.line[3:])
    try:
        said = command.communicate(timeout=STUCK)[0].decode()
    finally:
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
            command.communicate()
    assert command.returncode == 6, said
    return said


WEIGH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
sys.exit(code)
"""
"""Has a small process start the program: one that a large one starts is as large (getrusage(2))."""


def weighed(world: World, notes: Path) -> tuple[str, int]:
    """Build, which must fail; give what was said, and the most memory in kilobytes."""
    around = (sys.executable, "-c", WEIGH, str(notes))
    oven = replace(world.oven, argv=(*around, *world.oven.argv))
    return oven.said(*world.line[3:], code=6), int(notes.read_text())


@pytest.mark.parametrize(("part", "kind"), [("control", BASE), ("data", BASE), ("data", LAYER)])
def test_a_small_package_does_not_become_a_large_one(
    siege: Siege, tmp_path: Path, part: str, kind: str
) -> None:
    """Some kilobytes that unpack to five hundred million bytes, of files or of control files."""
    small = [member("./control", data=control("odd"))]
    parts = {"control.tar": tar(small), "data.tar": tar([])}
    one, _ = member("./postinst" if part == "control" else "./zeros")
    parts = {f"{name}.zst" if name == f"{part}.tar" else name: data for name, data in parts.items()}
    parts[f"{part}.tar.zst"] = hostile_debs.bomb(one, 512 << 20)
    deb, world = Deb("odd", kind), siege.world(wanted="odd" if kind == LAYER else "plain")
    hostile_debs.publish(world.archive, deb, write_parts(siege.folder / "odd.deb", parts))
    said, memory = weighed(world, tmp_path / "memory")
    wanted = "it unpacks to more than 64 MiB" if part == "data" else "`postinst` is too large"
    assert wanted in said
    assert memory < MEMORY
    assert not any(path.stat().st_size > 100 << 20 for path in world.home.rglob("*"))


def test_a_large_package_is_found_while_others_are_installed(siege: Siege) -> None:
    """The tree's dpkg knows no limits, and is ended; here it has not even come so far."""
    small = [member("./control", data=control("odd")), member("./preinst", data=ENDLESS)]
    zeros, _ = member("./zeros")
    parts = {
        "control.tar": tar(small),
        "data.tar.zst": hostile_debs.bomb(zeros, 512 << 20),
    }
    told = siege.told(Deb("odd", LAYER), write_parts(siege.folder / "odd.deb", parts))
    assert "it unpacks to more than 64 MiB" in told


def test_names_are_no_bombs(siege: Siege) -> None:
    """A path of millions of bytes, in a header that tar reads whole."""
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)[0]
    parts = {
        "control.tar": tar([member("./control", data=control("odd"))]),
        "data.tar.zst": hostile_debs.bomb(header, 32 << 20),
    }
    told = siege.told(Deb("odd", BASE), write_parts(siege.folder / "odd.deb", parts))
    assert "is too long" in told


@pytest.mark.parametrize(
    ("table", "kind"),
    [("diversions", "link"), ("status", "link"), ("diversions", "pipe"), ("statoverride", "pipe")],
)
def test_a_script_that_swaps_dpkgs_tables_is_told(siege: Siege, table: str, kind: str) -> None:
    """What scripts leave in the place of dpkg's files is neither followed nor waited for."""
    make, end = ("mknod", "p") if kind == "pipe" else (f"ln -s {siege.outside}/precious", "")
    file = f"/var/lib/dpkg/{table}"
    # What dpkg itself would wait for is made when it has ended.
    script = f"""#!/bin/sh
mv /usr/bin/dpkg /usr/bin/dpkg.real
cat >/usr/bin/dpkg <<'END'
#!/bin/sh
dpkg.real "$@"
rm -f {file}
{make} {file} {end}
END
chmod 755 /usr/bin/dpkg
"""
    odd = Deb("odd", ESSENTIAL, scripts={"preinst": script})
    world = siege.world(odd, Deb("later", BASE, scripts={"preinst": "#!/bin/sh\nexit 0\n"}))
    said = refused(world)
    assert siege.held()
    assert "some maintainer script put something else in the place of dpkg's database" in said
    assert "Traceback" not in said
    assert PRECIOUS.strip() not in said


def test_no_index_names_files_of_the_host(siege: Siege) -> None:
    """A path in the place of a hash, which is how the downloaded file is called."""
    deb = Deb("aaa", BASE, tree=siege.tree("first"))
    world = siege.world(deb)

    def told(index: bytes) -> bytes:
        path = os.fsencode(siege.outside / "precious")
        before, name, after = index.partition(b"Package: aaa\n")
        return before + name + re.sub(rb"(?m)^SHA256: .*$", b"SHA256: " + path, after, count=1)

    world.archive.index(deb.suite, told)
    said = world.oven.said(*world.line[3:], code=4)
    assert siege.held()
    assert "describes aaa 1.0 as nothing that can be" in said
