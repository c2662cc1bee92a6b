"""One command in a container: what goes in, what comes out, and that nothing stays."""

import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.model.errors import HostError
from builder.runtime.bundle import runnable
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.lifecycle.run import run_command
from builder.runtime.record.container import Limits
from builder.runtime.record.layout import cgroup_of
from tests.support.containers.rig import Rig
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

pytestmark = needs("root", "program:runc")

RUN = """
from builder.runtime.record.container import new_container
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.lifecycle.run import run_command
from builder.model.value import Digest
import sys
fresh = new_container("x", Digest("sha256:" + "ab" * 32), "tiny")
sys.exit(run_command(places, fresh, CommandOrder({argv!r}, tty={tty})))
"""


@pytest.fixture
def rig(rig: Rig) -> Iterator[Rig]:
    yield rig
    assert rig.leftovers() == []  # already before what is left is destroyed


def sh(rig: Rig, script: str, stdin: bytes = b"") -> tuple[int, str, str]:
    process = rig.call(RUN.format(argv=("sh", "-c", script), tty=False))
    out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out.decode(), err.decode()


def test_streams_and_exit_status_pass_through(rig: Rig) -> None:
    assert sh(rig, "cat; echo oops >&2; exit 7", b"some\0bytes") == (7, "some\0bytes", "oops\n")


def test_all_namespaces_are_its_own(rig: Rig) -> None:
    names = ("user", "pid", "mnt", "ipc", "uts", "net", "cgroup")
    _, out, _ = sh(rig, f"cd /proc/self/ns; for n in {' '.join(names)}; do readlink $n; done")
    host = [str(Path(f"/proc/self/ns/{name}").readlink()) for name in names]
    assert len(out.split()) == len(names)
    assert not set(out.split()) & set(host)


def test_root_inside_is_nobody_outside(rig: Rig) -> None:
    code, out, _ = sh(rig, "touch /made; ls -ln /made; cat /proc/self/uid_map")
    assert code == 0
    assert out.split()[2:4] == ["0", "0"]
    assert int(out.split()[-2]) >= 524288


def test_guest_sees_pure_cgroup2(rig: Rig) -> None:
    _, out, _ = sh(rig, "mount; cat /proc/self/cgroup")
    lines = [line for line in out.splitlines() if " on /sys/fs/cgroup" in line]
    assert len(lines) == 1
    assert " type cgroup2 " in lines[0]
    assert "0::/" in out.splitlines()


def test_no_descriptor_leaks(rig: Rig, tmp_path: Path) -> None:
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        _, out, _ = sh(rig, "ls /proc/$$/fd; readlink /proc/1/fd/[3-9]*")
    finally:
        os.close(secret)
    # An init that is around it hears of signals by one of its own.
    assert set(out.split()) - {"anon_inode:[signalfd]"} == {"0", "1", "2"}


def test_template_stays_as_it_was(rig: Rig, tree: Path) -> None:
    before = sorted(str(p) for p in tree.rglob("*"))
    sh(rig, "touch /usr/bin/evil /etc/evil; echo x > /etc/passwd")
    assert sorted(str(p) for p in tree.rglob("*")) == before
    assert "ann" in (tree / "etc/passwd").read_text()


def test_missing_program_is_told_apart(rig: Rig) -> None:
    with pytest.raises(runnable.NoProgramError, match="no program `nonesuch`"):
        run_command(rig.places, rig.container(), CommandOrder(("nonesuch",)))
    with pytest.raises(runnable.CannotStartError):
        run_command(rig.places, rig.container(), CommandOrder(("/etc/passwd",)))


def test_memory_limit_is_enforced(rig: Rig) -> None:
    limited = rig.container(limits=Limits(memory=32 << 20))
    order = CommandOrder(
        ("sh", "-c", "head -c 200m /dev/zero | tail > /dev/null; echo survived > /tmp/x")
    )
    start = oom_kills()
    code = run_command(rig.places, limited, CommandOrder(("tail", "/dev/zero")))
    assert code == 137, order
    assert oom_kills() > start


def oom_kills() -> int:
    fields = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(fields["oom_kill"])


def test_process_limit_is_enforced(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    limited = rig.container(limits=Limits(pids=8))
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo unreached"
    code = run_command(rig.places, limited, CommandOrder(("sh", "-c", script)))
    captured = capfd.readouterr()
    assert code != 0
    assert "annot fork" in captured.err
    assert "unreached" not in captured.out


def test_processor_limit_reaches_the_kernel(rig: Rig) -> None:
    process = rig.call(
        """
        import msgspec, sys
        from builder.runtime.record.container import Limits, new_container
        from builder.runtime.record.layout import cgroup_of
        from builder.runtime.bundle.process import CommandOrder
        from builder.runtime.lifecycle.run import run_command
        fresh = new_container("x", "sha256:" + "ab" * 32, "tiny")
        fresh = msgspec.structs.replace(fresh, limits=Limits(cpus=0.5))
        sys.exit(run_command(places, fresh, CommandOrder(("sh", "-c", "echo up; cat"))))
        """
    )
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == b"up\n"
    quotas = [
        (path / "cpu.cfs_quota_us", path / "cpu.max")
        for path in Path("/sys/fs/cgroup").glob(f"**/oven/run.*{cgroup_of(rig.places, '')}/guest")
    ]
    values = {file.read_text().split()[0] for pair in quotas for file in pair if file.exists()}
    process.communicate(timeout=30)
    assert "50000" in values


def test_hostile_template_is_refused(rig: Rig, tree: Path, tmp_path: Path) -> None:
    for name in ("dev", "proc", "etc"):
        hostile = tmp_path / f"hostile-{name}"
        subprocess.run(["cp", "-a", tree, hostile], check=True)
        if (hostile / name).is_dir():
            subprocess.run(["rm", "-rf", hostile / name], check=True)
        (hostile / name).symlink_to("/tmp")
        import msgspec

        container = msgspec.structs.replace(rig.container(), rootfs=str(hostile))
        with pytest.raises(HostError, match=f"`/{name}` is not a folder"):
            run_command(rig.places, container, CommandOrder(("true",)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_command(rig: Rig, number: signal.Signals) -> None:
    # The one who says so is there to be told: a child that begins meanwhile may hear nothing.
    script = "sh -c 'echo up; exec sleep 100'; exit $?"
    process = rig.call(RUN.format(argv=("sh", "-c", script), tty=False))
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    process.communicate(timeout=30)
    # By the signal as a shell tells it, or killed since the first process is immune to it.
    assert process.returncode in {128 + number, 137}


def test_signal_reaches_who_handles_it(rig: Rig) -> None:
    script = "trap 'echo caught; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    process = rig.call(RUN.format(argv=("sh", "-c", script), tty=False))
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, b"caught\n")


def test_terminal_is_joined(rig: Rig) -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        from tests.support.containers.rig import PREAMBLE

        argv = ("sh", "-c", "test -t 0 && readlink /proc/self/fd/0")
        code = PREAMBLE.format(home=rig.places.data) + RUN.format(argv=argv, tty=True)
        import sys

        os.execv(sys.executable, [sys.executable, "-c", code])
    output = b""
    try:
        while data := os.read(master, 1024):
            output += data
    except OSError:
        pass  # how a terminal tells that the other side has gone
    os.close(master)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, output
    assert b"/dev/pts/0" in output


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.13, 0.16, 0.2, 0.3])
def test_kill_9_leaves_nothing_running(rig: Rig, delay: float) -> None:
    process = rig.call(RUN.format(argv=("sleep", "1000"), tty=False))
    time.sleep(delay)  # the moment of death is what is varied here, nothing is waited for
    process.kill()
    process.communicate(timeout=30)
    # The next command sweeps what the dead one has left, and works.
    assert run_command(rig.places, rig.container(), CommandOrder(("true",))) == 0
    assert rig.leftovers() == []


LINGERS = """
import sys
from pathlib import Path
from builder.model.value import Digest
from builder.runtime.bundle import oci_runtime
from builder.runtime.record.container import new_container
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.lifecycle.run import run_command
oci_runtime.find = lambda places: Path({program!r})
fresh = new_container("x", Digest("sha256:" + "ab" * 32), "tiny")
sys.exit(run_command(places, fresh, CommandOrder(("sh", "-c", "exit 5"))))
"""


def test_a_signal_after_the_end_of_the_command_changes_no_status(rig: Rig, tmp_path: Path) -> None:
    """What stops a whole session or service reaches the command and `oven` in any order."""
    ended, go, program = tmp_path / "ended", tmp_path / "go", tmp_path / "runc"
    os.mkfifo(ended)
    os.mkfifo(go)
    lines = (
        "#!/bin/sh",
        f'{shutil.which("runc")} "$@"',
        "code=$?",
        f"echo >{ended}",
        f"read x <{go}",
    )
    program.write_text("\n".join((*lines, "exit $code", "")))
    program.chmod(0o755)
    process = rig.call(LINGERS.format(program=str(program)))
    ended.read_bytes()
    process.send_signal(signal.SIGTERM)
    # It has taken the signal once that is pending no more.
    status = Path(f"/proc/{process.pid}/status")
    while "ShdPnd:\t0000000000000000" not in status.read_text():
        time.sleep(0.01)
    go.write_text("\n")
    process.communicate(timeout=60)
    assert process.returncode == 5
