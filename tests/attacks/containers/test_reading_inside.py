"""What root inside puts in the way of those who read in its container."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from builder.host.kernel import mounts
from builder.host.overlayfs.layered import LayeredEntry, found_in
from builder.host.sandbox import stranger
from builder.host.sandbox.stranger import read_by
from builder.host.trees.treeio import TreeIO
from builder.model.numbers import number
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Bind, load
from tests.support.containers.rig import Rig
from tests.support.faults.bounded import ends, inside
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.support.packages.odd_databases import database_of

pytestmark = needs("root", "userns", "program:runc", "program:conmon")


@pytest.fixture
def stopped(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


@pytest.fixture
def running(stopped: Rig) -> Rig:
    control.start(stopped.places, "test", Silent())
    return stopped


# Over the table of users lies what must not be read

PROC = "mkdir /tmp/proc; mount -t proc proc /tmp/proc; mount --bind /tmp/proc/uptime /etc/passwd"
"""Any file of that kind stands for kmsg, which would take the host's log away."""
OVERLAY = """
mkdir /tmp/all; mount -t tmpfs tmpfs /tmp/all; mkdir /tmp/all/low /tmp/all/lower /tmp/all/both
cat /etc/passwd >/tmp/all/low/passwd
mount -t overlay -o lowerdir=/tmp/all/low:/tmp/all/lower,userxattr overlay /tmp/all/both
mount --bind /tmp/all/both/passwd /etc/passwd
"""
"""What lies under it could be FUSE, which need not answer."""
IN_MEMORY = """
mkdir /tmp/all; mount -t tmpfs tmpfs /tmp/all
echo 'eve:x:0:0::/:/bin/sh' >/tmp/all/passwd; mount --bind /tmp/all/passwd /etc/passwd
"""


@pytest.mark.parametrize("script", [PROC, OVERLAY], ids=["proc", "overlay"])
def test_file_systems_that_need_not_answer_are_not_entered(
    running: Rig, oven: Oven, tmp_path: Path, script: str
) -> None:
    """Commands that read in a container end at once, whatever it has mounted over its files."""
    inside(running, script)
    refused = "that is not entered is mounted there"
    assert refused in ends(oven, "exec", "test", "--", "true", code=125)
    assert refused in ends(oven, "exec", "--user", "0", "test", "--", "true", code=125)
    assert refused in ends(oven, "enter", "test", code=125)
    (tmp_path / "file").touch()
    assert refused in ends(oven, "cp", "test:/etc/passwd", tmp_path / "copy", code=3)
    assert refused in ends(oven, "cp", "--owner", "ann", tmp_path / "file", "test:/tmp/f", code=3)
    assert not (tmp_path / "copy").exists()
    said = ends(oven, "cp", "test:/etc", tmp_path / "etc")
    assert "left out `passwd`: it lies on a file system that is not entered" in said
    assert (tmp_path / "etc/group").exists()
    for verb in (("diff", "test"), ("show", "test"), ("logs", "test"), ("top", "--once"),
                 ("snapshot", "create", "test"), ("clone", "test", "other"),
                 ("export", "test", "-o", tmp_path / "file.oven")):  # fmt: skip
        ends(oven, *verb)


def test_what_is_mounted_in_memory_is_read_as_it_is_seen(running: Rig, oven: Oven) -> None:
    """A file that root inside has put over another one counts, where it always answers."""
    inside(running, IN_MEMORY)
    assert ends(oven, "exec", "--user", "eve", "test", "--", "true") == ""
    assert "there is no user `ann`" in ends(
        oven, "exec", "--user", "ann", "test", "--", "id", code=125
    )


def test_what_the_host_shows_is_entered(rig: Rig, oven: Oven, tmp_path: Path) -> None:
    """A folder of the host that is bound inside is copied like any other."""
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/file").write_text("shown")
    bind = Bind(source=str(tmp_path / "shown"), target="/srv/shown")
    create.create(rig.places, msgspec.structs.replace(rig.container(), binds=(bind,)))
    control.start(rig.places, "test", Silent())
    ends(oven, "cp", "test:/srv/shown/file", tmp_path / "one")
    ends(oven, "cp", "test:/srv", tmp_path / "all")
    assert (tmp_path / "one").read_text() == (tmp_path / "all/shown/file").read_text() == "shown"


def test_links_and_dots_end_at_the_root_behind_mounts_too(
    running: Rig, oven: Oven, tmp_path: Path
) -> None:
    """A path through what a container has mounted leads out of it no more than any other."""
    inside(running, """
        mkdir /tmp/all; mount -t tmpfs tmpfs /tmp/all; mkdir /tmp/all/in; echo own >/tmp/all/in/file
        ln -s ../../../../../../../../tmp/all/in /tmp/all/up; ln -s /tmp/all/in /tmp/all/whole
        ln -s itself /tmp/all/itself; ln -s /proc/1/root /tmp/all/proc
    """)  # fmt: skip
    for name in ("up", "whole", "in/../up"):
        ends(oven, "cp", f"test:/tmp/all/{name}/file", tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == "own\n"
        (tmp_path / "copy").unlink()
    assert "symbolic links" in ends(oven, "cp", "test:/tmp/all/itself/f", tmp_path / "f", code=3)
    said = ends(oven, "cp", "test:/tmp/all/proc/etc", tmp_path / "f", code=3)
    assert "not entered" in said
    (tmp_path / "back").write_text("back")
    ends(oven, "cp", tmp_path / "back", "test:/tmp/all/up")
    assert inside(running, "cat /tmp/all/in/back") == "back"


def test_nothing_is_written_into_what_need_not_answer(
    running: Rig, oven: Oven, tmp_path: Path
) -> None:
    """A copy into a folder stops where the container has mounted a file system of that kind."""
    inside(running, "mkdir /tmp/to /tmp/to/proc; mount -t proc proc /tmp/to/proc")
    (tmp_path / "to/proc").mkdir(parents=True)
    (tmp_path / "to/proc/file").touch()
    said = ends(oven, "cp", tmp_path / "to", "test:/tmp/")
    assert "left out `proc`: it lies on a file system that is not entered" in said


# What lies there is odd itself


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("passwd")


def _endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(9 << 40)


def _long_line(path: Path) -> None:
    path.write_bytes(b"root:x:0:0::/:" + b"/" * (1 << 22) + b"\n")


def _number(path: Path) -> None:
    path.write_text(f"root:x:{'9' * 5000}:0::/:/bin/sh\nann:x:1000:{'1' * 5000}::/:/bin/sh\n")


ODD: dict[Callable[[Path], None], str] = {
    _fifo: "cannot be read: not a regular file",
    _link: "there is no user `ann`",
    _endless: "cannot be read: larger than",
    _long_line: "there is no user `ann`",
    _number: "there is no user `ann`",
}


@pytest.mark.parametrize("odd", ODD, ids=lambda one: one.__name__)
def test_odd_tables_of_users_are_told(
    odd: Callable[[Path], None], running: Rig, oven: Oven, tmp_path: Path
) -> None:
    """A table of users that is no file, or none that could be meant, is an error in one line."""
    current = state.read(running.places, "test")
    assert current is not None
    with mounts.file_owner(load(running.places, "test").first_id):
        odd(Path(f"/proc/{current.pid}/root/etc/passwd"))
    code = 3 if "cannot be read" in ODD[odd] else 7
    assert ODD[odd] in ends(oven, "exec", "--user", "ann", "test", "--", "true", code=125)
    assert ODD[odd] in ends(oven, "cp", "--owner", "ann", __file__, "test:/tmp/f", code=code)
    ends(oven, "diff", "test")
    ends(oven, "diff", "test", "--as-overlay", tmp_path / "made")
    ends(oven, "snapshot", "create", "test")
    ends(oven, "stop", "test")
    ends(oven, "export", "test", "-o", tmp_path / "file.oven")
    assert (tmp_path / "file.oven").stat().st_size < 64 << 20


def test_sparse_files_fill_no_disk(stopped: Rig, oven: Oven, tmp_path: Path) -> None:
    """Holes stay holes, and what would be written as zeros is left out and named."""
    with stopped.own_file("srv/large").open("wb") as file:
        file.truncate(9 << 40)
    with stopped.own_file("srv/holes").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    said = ends(oven, "diff", "test", "--as-overlay", tmp_path / "made")
    assert "/srv/large: left out: larger than 1024 MiB" in said
    ends(oven, "cp", "test:/srv", tmp_path / "srv")
    for copy in (
        tmp_path / "made/overlay/srv/holes",
        tmp_path / "srv/holes",
        tmp_path / "srv/large",
    ):
        assert copy.stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "srv/large").stat().st_size == 9 << 40
    done = oven("cp", "test:/srv", "-")
    assert "left out `srv/large`: a stream would hold its holes as zeros" in text(done.stderr)


def test_no_start_waits_for_a_table_of_users(stopped: Rig, oven: Oven) -> None:
    """The OCI runtime reads the tables too: what it would wait for is refused before it does."""
    _fifo(stopped.own_file("etc/passwd"))
    said = ends(oven, "start", "test", code=3)
    assert "`/etc/passwd` in the container cannot be read: not a regular file" in said


def test_a_file_of_many_names_takes_room_once(stopped: Rig, oven: Oven, tmp_path: Path) -> None:
    """What is little inside does not become much on the disk of who asks."""
    stopped.own_file("srv/0").write_bytes(bytes(1 << 20))
    for count in range(1, 50):
        stopped.own_file(f"srv/{count}").hardlink_to(stopped.own_file("srv/0"))
    ends(oven, "diff", "test", "--as-overlay", tmp_path / "made")
    assert len({path.stat().st_ino for path in (tmp_path / "made/overlay/srv").iterdir()}) == 1


def test_a_file_that_grows_ends_where_it_did_when_it_was_seen(tmp_path: Path) -> None:
    """Reading comes to an end, however fast somebody inside writes."""
    size = 3 << 20
    (tmp_path / "file").write_bytes(bytes(size))
    with TreeIO(tmp_path) as tree:
        found = found_in(tree, "file")
        assert found is not None
        for piece in found.pieces():
            size -= len(piece)
            assert size >= 0
            with (tmp_path / "file").open("ab") as file:
                file.write(piece)
    assert size == 0


# Leases and locks


@pytest.fixture
def leased(running: Rig) -> Iterator[Path]:
    """Hold a lease on the table of users, as root inside once could."""
    inside(running, "touch /etc/passwd")
    old = signal.signal(signal.SIGIO, signal.SIG_IGN)  # tells that somebody else wants the file
    fd = os.open(running.own_file("etc/passwd"), os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    yield running.own_file("etc/passwd")
    os.close(fd)
    signal.signal(signal.SIGIO, old)


def test_nobody_waits_for_a_lease(leased: Path, oven: Oven, tmp_path: Path) -> None:
    """A lease (fcntl(2)) makes whoever opens the file wait for 45 seconds: it is told instead."""
    assert "holds a lease" in ends(oven, "exec", "test", "--", "true", code=125)
    assert "holds a lease" in ends(oven, "cp", "test:/etc/passwd", tmp_path / "f", code=3)

    assert "holds a lease" in ends(oven, "diff", "test", code=3)
    assert "left out `passwd`: somebody" in ends(oven, "cp", "test:/etc", tmp_path / "etc")
    assert (tmp_path / "etc/group").exists()


def test_locks_hold_up_nobody(running: Rig, oven: Oven, tmp_path: Path) -> None:
    """Locks are among those who ask for them."""
    inside(running, "touch /etc/passwd")
    with running.own_file("etc/passwd").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        ends(oven, "exec", "test", "--", "true")
        ends(oven, "cp", "test:/etc/passwd", tmp_path / "f")


@pytest.mark.parametrize(
    "path", ["var/lib/apt/extended_states", "var/lib/dpkg/info/new.list", "var/lib/dpkg/status"]
)
def test_odd_tables_of_packages_are_told(
    stopped: Rig, oven: Oven, tmp_path: Path, path: str
) -> None:
    """Tables of packages that do not end are an error in one line."""
    stopped.own_file("var/lib/dpkg/status").write_text(
        "Package: new\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
    )
    _endless(stopped.own_file(path))
    said = ends(oven, "diff", "test", "--as-overlay", tmp_path / "made", code=3)
    assert f"the table of packages cannot be read: `/{path}`: larger than" in said


DATABASE = "var/lib/rpm/rpmdb.sqlite"


@pytest.mark.needs("program:rpm")
@pytest.mark.parametrize("odd", [_fifo, _endless, _long_line])
def test_odd_databases_of_packages_are_told(
    stopped: Rig, oven: Oven, tmp_path: Path, odd: Callable[[Path], None]
) -> None:
    """A database of rpm that does not end, is none, or is no file, is an error in one line."""
    odd(stopped.own_file(DATABASE))
    said = ends(oven, "diff", "test", "--as-overlay", tmp_path / "made", code=3)
    assert f"the table of packages cannot be read: `/{DATABASE}`: " in said


@pytest.mark.needs("program:rpm")
@pytest.mark.parametrize("name", ["--pipe=touch /given/x", "a\tb", "\n", "%(id)"])
def test_names_of_packages_are_names(stopped: Rig, oven: Oven, tmp_path: Path, name: str) -> None:
    """What calls itself a package, and is an option or several lines, gets on no command line."""
    stopped.own_file(DATABASE).write_bytes(database_of(tmp_path / "made", name).read_bytes())
    said = ends(oven, "diff", "test", "--as-overlay", tmp_path / "out", code=3)
    assert "is no package" in said


def test_what_reads_for_the_host_sees_nothing_of_it(tmp_path: Path) -> None:
    """A reader that a hostile file has taken over has no file of the host, right or way out."""
    (tmp_path / "secret").write_text("of the host\n")
    (tmp_path / "file").write_text("given\n")
    script = f"""
        cat /given/file; echo mine > /given/file
        cat {tmp_path}/secret /etc/shadow /proc/1/root{tmp_path}/secret && exit 1
        ls /root /home /var && exit 1
        grep -v ' lo:' /proc/net/dev | grep : && exit 1
        grep -E '^(Cap(Eff|Prm)|NoNewPrivs):' /proc/self/status
    """
    with TreeIO(tmp_path) as tree:
        file = LayeredEntry(tree, "file", tree.lstat("file"))
        done = read_by(("sh", "-c", script), {"file": file})
    assert done.code == 0, done
    said, *rights = done.stdout.decode().splitlines()
    assert said == "given"
    assert [int(line.split()[1], 16) for line in rights] == [0, 0, 1]
    assert (tmp_path / "file").read_text() == "given\n"


@pytest.mark.parametrize(
    "script", ["while :; do echo more; done", "x=x; while :; do x=$x$x; done", "yes >/given/file"]
)
def test_what_reads_for_the_host_ends(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A hostile file cannot have its reader write, remember or go on without end."""
    for name, most in (("_SECONDS", 2), ("_MEMORY", 64 << 20), ("_OUTPUT", 1 << 20)):
        monkeypatch.setattr(stranger, name, most)
    done = read_by(("sh", "-c", script), {})
    assert done.code != 0
    assert len(done.stdout) <= 1 << 20


@pytest.mark.parametrize("text", ["9" * 5000, "\u0661", "-1", "65536", " 1", "1_0", ""])
def test_numbers_of_others_have_a_length(text: str) -> None:
    """Numbers are plain digits and within their bounds, however many zeros come first."""
    assert number(text, 65535) is None
    assert number("0" * 5000 + "65535", 65535) == 65535
    assert number("0", 65535) == 0
