"""Attacks that worked on other runtimes, each tried on a container of ours.

Those that other files try already are named in docs/explanation/threat-model.md, row by row.
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.host.trees import durable
from builder.model.errors import HostError, OvenError
from builder.model.progress import Silent
from builder.runtime.access import copying, logs
from builder.runtime.access.exec import capture, exec_command
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control, create
from builder.runtime.lifecycle.run import run_command
from builder.runtime.record.container import load
from builder.runtime.storage import volumes
from builder.store import Store
from tests.support.containers.rig import PREAMBLE, Rig, add_program, rig_in
from tests.support.hosts.terminal import Terminal
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

pytestmark = needs("root", "program:runc", "program:conmon", "program:perl")

MARK = "it was outside"


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    for program in ("perl", "mknod", "chmod", "cp", "find"):
        add_program(tree, program)
    return tree


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Iterator[Rig]:
    """One container that runs, for the attacks that come from inside."""
    with rig_in(tmp_path_factory.mktemp("cves") / "home", tree) as rig:
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


@pytest.fixture
def hostile(tmp_path: Path, tree: Path) -> Path:
    """A copy of the tree, to be made a trap of."""
    copy = tmp_path / "hostile"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    return copy


def sh(rig: Rig, script: str) -> tuple[int, str]:
    return capture(rig.places, "test", ("sh", "-c", script))


def perl(rig: Rig, script: str) -> str:
    return capture(rig.places, "test", ("perl", "-e", script))[1]


def test_the_runtimes_program_cannot_be_overwritten(rig: Rig) -> None:
    """CVE-2019-5736: the runtime is run by what it runs, as `/proc/self/exe`."""
    program = Path(shutil.which("runc") or "")
    before = hashlib.sha256(program.read_bytes()).hexdigest()
    hunt = (
        "printf '#!/proc/self/exe\\n' >/bait; chmod 755 /bait; "
        "(while :; do for p in /proc/[0-9]*; do (echo x >$p/exe) 2>/dev/null && echo $p; done; "
        "done) >/hits 2>/dev/null & echo $! >/hunter"
    )
    assert sh(rig, hunt)[0] == 0
    for argv in (("/bait",), ("true",)) * 5:
        capture(rig.places, "test", argv)
    sh(rig, "kill -9 $(cat /hunter)")
    assert hashlib.sha256(program.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("name", ["TIOCSTI", "TIOCLINUX"])
def test_nothing_is_typed_into_the_terminal_of_who_looks_inside(rig: Rig, name: str) -> None:
    """CVE-2016-10124, and CVE-2023-28100 for the upper half of the number."""
    number = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}[name]
    attack = "".join(
        f"$c=qq(\\x03x); print ioctl(STDIN, {one}, $c) ? qq(typed ) : qq(refused ); "
        f"print $!+0, qq( );"
        for one in (number, number | 1 << 32)
    )
    code = PREAMBLE.format(home=rig.places.data) + (
        "import sys\nfrom builder.runtime.bundle.process import CommandOrder\n"
        "from builder.runtime.access.exec import exec_command\n"
        f"perl = CommandOrder(('perl', '-e', {attack!r}), tty=True)\n"
        "sys.exit(exec_command(places, 'test', perl))\n"
    )
    terminal = Terminal((sys.executable, "-c", code), cwd=CHECKOUT)
    try:
        said = terminal.until(b"refused 1 refused 1 ")
    finally:
        terminal.close()
    assert b"typed" not in said


def test_terminals_are_not_steered_by_what_a_container_says(rig: Rig) -> None:
    """CVE-2016-10124's other half: escape sequences in logs."""
    sh(rig, r"printf '\033]0;owned\007\033[2Jplain\n' >/dev/console")
    said = "".join(logs.console(rig.places, "test"))
    assert "plain" in said
    assert "\x1b" not in said
    assert "\x07" not in said


def test_no_program_and_no_library_of_the_container_runs_outside(
    rig: Rig, tmp_path: Path, hostile: Path
) -> None:
    """CVE-2019-14271, CVE-2022-1227: looking at a container loaded its libraries, ran its `ps`."""
    trap = f"#!/bin/sh\nid -u >{tmp_path}/ran\n"
    for name in ("ps", "tar", "getent", "du", "cp", "nsenter"):
        (hostile / "usr/bin" / name).unlink(missing_ok=True)
        (hostile / "usr/bin" / name).write_text(trap)
        (hostile / "usr/bin" / name).chmod(0o755)
    (hostile / "etc/nsswitch.conf").write_text("passwd: trap\ngroup: trap\n")
    (hostile / "usr/lib64/libnss_trap.so.2").write_bytes(b"\x7fELF no library at all")
    container = msgspec.structs.replace(rig.container("trap"), rootfs=str(hostile))
    create.create(rig.places, container)
    control.start(rig.places, "trap", Silent())
    try:
        out = copying.parse(str(tmp_path / "out"))
        copying.copy(rig.places, copying.parse("trap:/etc"), out, copying.CopyOptions())
        show.show(rig.places, "trap")
        assert capture(rig.places, "trap", ("id", "-u"))[1] == "0\n"
        code = exec_command(
            rig.places, "trap", CommandOrder(("sh", "-c", "exit $(id -u)"), user="ann")
        )
        assert code == 1000 & 0xFF
    finally:
        control.destroy(rig.places, "trap", force=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["proc", "sys", "dev", "run", "etc"])
@pytest.mark.parametrize("kind", ["link", "relative", "file", "missing"])
def test_nothing_is_mounted_through_a_link(
    rig: Rig, tmp_path: Path, hostile: Path, name: str, kind: str
) -> None:
    """CVE-2015-1335, CVE-2019-16884, CVE-2019-19921, CVE-2021-30465, CVE-2023-27561, and the link
    at `/dev` of CVE-2026-41579."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "null").write_text(MARK)
    shutil.rmtree(hostile / name)
    if kind == "link":
        (hostile / name).symlink_to(outside)
    elif kind == "relative":
        (hostile / name).symlink_to("../" * 20 + str(outside).lstrip("/"))
    elif kind == "file":
        (hostile / name).write_text("")
    container = msgspec.structs.replace(rig.container(), rootfs=str(hostile))
    with pytest.raises(HostError, match=f"`/{name}` is"):
        run_command(rig.places, container, CommandOrder(("true",)))
    assert [path.name for path in outside.iterdir()] == ["null"]
    assert (outside / "null").read_text() == MARK


def test_links_below_dev_lead_nowhere(rig: Rig, tmp_path: Path, hostile: Path) -> None:
    """CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: `/dev/null`, `/dev/console` as links."""
    victim = tmp_path / "victim"
    victim.write_text(MARK)
    mode = victim.stat()
    for name in ("null", "console", "ptmx", "pts", "shm", "mqueue"):
        path = hostile / "dev" / name
        path.symlink_to(victim if name in {"null", "console"} else tmp_path)
    container = msgspec.structs.replace(rig.container("links"), rootfs=str(hostile))
    create.create(rig.places, container)
    control.start(rig.places, "links", Silent())
    try:
        seen = capture(rig.places, "links", ("stat", "-c", "%F", "/dev/null", "/dev/pts"))[1]
        assert seen == "character special file\ndirectory\n"
        # A true null device lies over what is hidden; which of these there are, kernels differ in.
        hidden = [f"/proc/{name}" for name in ("keys", "kcore", "timer_list", "sysrq-trigger")]
        there = [path for path in hidden if Path(path).exists()]
        masked = capture(rig.places, "links", ("stat", "-c", "%t:%T", *there))[1]
        assert masked.split() == ["1:3"] * len(there) != []
    finally:
        control.destroy(rig.places, "links", force=True)
    assert victim.read_text() == MARK
    assert victim.stat().st_mode == mode.st_mode
    assert [path.name for path in tmp_path.iterdir() if path.name != "hostile"] == ["victim"]


@pytest.mark.parametrize("folder", ["/proc/self/fd/7", "/proc/self/cwd", "/dev/fd/3/.."])
def test_no_command_begins_in_a_folder_of_the_host(rig: Rig, folder: str) -> None:
    """CVE-2024-21626: a descriptor of the host as working folder."""
    try:
        code = exec_command(rig.places, "test", CommandOrder(("ls", "..", "../.."), cwd=folder))
    except OvenError:
        return
    assert code != 0


def test_no_descriptor_of_the_host_is_there_while_a_command_begins(rig: Rig) -> None:
    """CVE-2016-9962, CVE-2016-8649, CVE-2024-21626: what the entering process has open."""
    hunt = (
        "(while :; do for f in /proc/[0-9]*/fd/*; do readlink $f; done; done) "
        ">/seen 2>/dev/null & echo $! >/hunter"
    )
    sh(rig, hunt)
    for _ in range(10):
        capture(rig.places, "test", ("true",))
    _, seen = sh(rig, "kill -9 $(cat /hunter); cat /seen")
    host = {line for line in seen.splitlines() if line.startswith(("/root", "/home", "/var/lib"))}
    host |= {line for line in seen.splitlines() if str(rig.places.data) in line}
    assert host == set()


@pytest.mark.parametrize(
    "user", ["4294967295", "4294967296", "-1", "0x0", " 0", "+0", "1e3", "0:4294967296", "٣"]
)
def test_numbers_of_users_are_read_strictly(rig: Rig, user: str) -> None:
    """CVE-2026-46680, CVE-2026-30892: one that is too large, or half a number, became root."""
    with pytest.raises(OvenError, match=r"no user|no group|no id"):
        exec_command(rig.places, "test", CommandOrder(("true",), user=user))


def test_capabilities_are_not_inherited(rig: Rig) -> None:
    """CVE-2022-24769, CVE-2022-29162, CVE-2022-27650."""
    for pid in ("1", "self"):
        status = sh(rig, f"cat /proc/{pid}/status")[1]
        sets = dict(re.findall(r"^Cap(\w+):\s+(\w+)$", status, re.MULTILINE))
        assert int(sets["Inh"], 16) == int(sets["Amb"], 16) == 0
        assert int(sets["Eff"], 16) & ~int(sets["Bnd"], 16) == 0


def test_the_host_runs_nothing_for_a_container(rig: Rig, tmp_path: Path) -> None:
    """CVE-2022-0492 (release_agent), and the kernel's other ways to call a program."""
    sh(rig, "touch /cgroup; rm /cgroup; cp -r /etc /cgroup")
    # Where the host has version 1, root inside may mount the part of it that is the container's.
    sh(rig, "mount -t cgroup -o memory none /cgroup")
    assert sh(rig, "find /sys /cgroup -name release_agent 2>/dev/null")[1] == ""
    for name in ("memory.limit_in_bytes", "cgroup.event_control", "notify_on_release"):
        assert sh(rig, f"test ! -e /cgroup/{name} || ! echo 1 >/cgroup/{name}")[0] == 0
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug",
        "/sys/kernel/uevent_helper",
        "/proc/sysrq-trigger",
        "/proc/sys/fs/binfmt_misc/register",
    ):
        code, said = sh(rig, f"echo '|{tmp_path}/helper' >{path}")
        assert code != 0, f"{path}: {said}"
    assert str(tmp_path) not in Path("/proc/sys/kernel/core_pattern").read_text()


def test_devices_of_the_host_cannot_be_made(rig: Rig) -> None:
    """What mknod(2) makes would be a way to the host's disks."""
    for device in ("/disk b 8 0", "/dev/mem c 1 1"):
        code, said = sh(rig, f"mknod {device}")
        assert code != 0
        assert "not permitted" in said


SYSCALLS = {
    # number on x86_64, and what it answers: EPERM, or ENOSYS where programs then do without
    "open_by_handle_at": (304, 1), "init_module": (175, 1), "kexec_load": (246, 1),
    "bpf": (321, 1), "perf_event_open": (298, 1), "userfaultfd": (323, 1), "swapon": (167, 1),
    "keyctl": (250, 38), "add_key": (248, 38), "request_key": (249, 38),
}  # fmt: skip


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are of x86_64")
@pytest.mark.parametrize("name", sorted(SYSCALLS))
def test_calls_that_no_namespace_guards_are_refused(rig: Rig, name: str) -> None:
    """open_by_handle_at is Docker's "shocker"; the others reach code of the whole kernel."""
    number, error = SYSCALLS[name]
    assert perl(rig, f"$r=syscall({number},0,0,0,0,0); print $r, q( ), $!+0") == f"-1 {error}"


def test_audit_seems_absent_and_user_namespaces_work(rig: Rig) -> None:
    """Logins fail on a netlink socket that says EPERM; nested containers need unshare(2)."""
    assert perl(rig, "$r=syscall(41,16,3,9); print $!+0") == "97"
    assert perl(rig, "$r=syscall(272,0x10000000); print $r") == "0"


def test_set_id_programs_of_containers_are_out_of_reach(rig: Rig, tmp_path: Path) -> None:
    """CVE-2021-3493 and kin need no more than a set-id file with the host's root as its owner.

    On the disk that is what root inside makes, and what templates and the cache are full of.
    """
    volumes.make(rig.places, "pool")
    store = Store(tmp_path / "cache")
    sh(rig, "cp /usr/bin/id /evil; chmod 4755 /evil")
    made = rig.places.data / "containers/test/upper/evil"
    assert made.stat().st_mode & stat.S_ISUID
    assert made.stat().st_uid == 0
    for path in (
        made,
        rig.places.data / "volumes/pool",
        rig.places.data / "templates" / ("ab" * 32),
        store.root / "trees",
    ):
        if path.is_relative_to(rig.places.data / "templates"):
            durable.private(rig.places.data / "templates")  # the rig makes it by hand
        above = (parent for parent in path.parents if parent != parent.parent)
        assert any(parent.stat().st_mode & 0o077 == 0 for parent in above), path


def test_id_of_root_inside_is_nobodys_outside(rig: Rig) -> None:
    """User namespaces: the wall that held in most of the above."""
    first = load(rig.places, "test").first_id
    pid = show.show(rig.places, "test").pid
    assert f"\nUid:\t{first}\t" in Path(f"/proc/{pid}/status").read_text()
    assert subprocess.run(["getent", "passwd", str(first)], check=False).returncode != 0
