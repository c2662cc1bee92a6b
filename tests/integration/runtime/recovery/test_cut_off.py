"""Commands cut off in the middle, or that gave up: whoever comes next, even to look, mends it."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.host import pids
from builder.host.kernel import cgroups, inotify
from builder.model.errors import StageError
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Init
from builder.runtime.record.layout import cgroup_of, volatile_of
from builder.runtime.record.state import State
from tests.support.containers.rig import PREAMBLE, Rig, add_program, put_init
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven, text

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:systemd-notify"),
]

SYSTEMD: Init = "systemd"
INIT = """\
#!/bin/sh
trap 'exit 0' 37
until test -e /go; do sleep .05; done
touch /up
systemd-notify --ready
while :; do sleep .05; done
"""
"""What matters here of systemd: 37 is SIGRTMIN+3, which shuts it down."""
SYSTEMCTL = """\
#!/bin/sh
if test -e /up; then echo running; else echo starting; exit 1; fi
"""


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    add_program(tree, "systemd-notify")
    put_init(tree, INIT, as_systemd=True)
    (tree / "usr/bin/systemctl").write_text(SYSTEMCTL)
    (tree / "usr/bin/systemctl").chmod(0o755)
    shutil.copy("/usr/bin/test", tree / "usr/bin/test")
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container(init=SYSTEMD))
    return rig


def go(oven: Oven) -> None:
    """Let what stands for systemd come to the end of its boot."""
    oven("exec", "test", "--", "touch", "/go")


def until(rig: Rig, wanted: Callable[[State], bool]) -> State:
    """Wait for a state; whoever writes it is told of by the kernel."""
    with inotify.Folder(volatile_of(rig.places, "test")) as folder:
        while True:
            current = state.read(rig.places, "test")
            if current is not None and wanted(current):
                return current
            folder.wait(30)


def up(rig: Rig, oven: Oven) -> None:
    """Start the container until it is ready."""
    process = oven.start("start", "test")
    booting(rig)
    go(oven)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out


def booting(rig: Rig) -> None:
    """Wait until the init of a container that is being started has begun."""
    containers = rig.places.runtime / "containers"
    containers.mkdir(parents=True, exist_ok=True)
    with inotify.Folder(containers) as folder:
        while not volatile_of(rig.places, "test").exists():
            folder.wait(30)
    until(rig, lambda now: now.phase == "booting")


def ended(rig: Rig, code: str) -> int:
    """Run Python, and give how it ended."""
    process = rig.call(code)
    process.communicate(timeout=60)
    return process.returncode


KILLED_FROZEN = """
import os
import pty
from builder.host.kernel import cgroups
from builder.runtime.history import snapshots
halt = cgroups.freeze
def freeze(name, *, frozen):
    halt(name, frozen=frozen)
    os.kill(os.getpid(), 9)
cgroups.freeze = freeze
snapshots.create(places, "test", "kept")
"""
NEXT = {
    "exec": ("exec", "test", "--", "true"),
    "list": ("list",),
    "show": ("show", "test"),
    "logs": ("logs", "test"),
    "set": ("set", "test", "--pids", "500"),
}


@pytest.mark.parametrize("verb", NEXT)
def test_a_container_whose_freezer_was_killed_goes_on(rig: Rig, oven: Oven, verb: str) -> None:
    up(rig, oven)
    (rig.places.data / "containers/test/upper/more").write_text("more\n")
    assert ended(rig, KILLED_FROZEN) == -signal.SIGKILL
    assert cgroups.is_frozen(cgroup_of(rig.places, "test"))
    oven(*NEXT[verb])
    assert not cgroups.is_frozen(cgroup_of(rig.places, "test"))
    oven("exec", "test", "--", "true")


def test_what_an_administrator_froze_stays_frozen(rig: Rig, oven: Oven) -> None:
    up(rig, oven)
    oven("freeze", "test")
    killed = KILLED_FROZEN.replace(
        "halt = ", "import builder.runtime.storage.whole as whole\nhalt = "
    )
    killed = killed.replace("cgroups.freeze = freeze", "whole.copy_tree = lambda *_: os.abort()")
    (rig.places.data / "containers/test/upper/more").write_text("more\n")
    assert ended(rig, killed) == -signal.SIGABRT
    oven("list")
    oven("set", "test", "--pids", "500")
    assert cgroups.is_frozen(cgroup_of(rig.places, "test"))
    assert b"frozen" in oven("list").stdout
    oven("thaw", "test")


@pytest.mark.parametrize("verb", ["list", "show", "exec", "set"])
def test_a_start_that_was_killed_is_gone_on_with(rig: Rig, oven: Oven, verb: str) -> None:
    process = oven.start("start", "test")
    booting(rig)
    before = state.read(rig.places, "test")
    process.kill()
    process.communicate()
    oven(*NEXT[verb])
    current = state.read(rig.places, "test")
    assert before is not None
    assert current is not None
    assert (current.phase, current.pid) == ("running", before.pid), "it goes on"
    assert not current.ready
    again = oven.start("start", "test")
    go(oven)
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 0, out
    rows = oven.json("list")
    assert isinstance(rows, list)
    assert (rows[0]["status"], rows[0]["ready"]) == ("running", True)


def test_a_start_that_was_killed_before_its_init_began_is_undone(rig: Rig, oven: Oven) -> None:
    code = """
    import os
    from builder.runtime.lifecycle import boot, control
    boot._start = lambda *_: os.kill(os.getpid(), 9)
    control.start(places, "test", Silent())
    """
    assert ended(rig, textwrap.dedent(code)) == -signal.SIGKILL
    assert b"starting" not in oven("list").stdout
    assert state.read(rig.places, "test") is None


def test_one_that_came_up_while_nobody_listened_is_ready(rig: Rig, oven: Oven) -> None:
    process = oven.start("start", "test")
    booting(rig)
    process.kill()
    process.communicate()
    current = state.read(rig.places, "test")
    assert current is not None
    upper = rig.places.data / "containers/test/upper"
    inside = ["nsenter", "-t", str(current.pid), "-U", "-m", "-S", "0", "-G", "0"]
    subprocess.run([*inside, "touch", "/go"], check=True)
    with inotify.Folder(upper) as folder:
        while not (upper / "up").exists():
            folder.wait(30)
    oven("list")
    until(rig, lambda now: now.ready)


def test_one_that_is_late_becomes_ready(rig: Rig, oven: Oven) -> None:
    code = """
    control.start(places, "test", Silent(), timeout=0.2)
    """
    process = rig.call("from builder.runtime.lifecycle import control" + textwrap.dedent(code))
    _, err = process.communicate(timeout=60)
    assert b"is not ready after 0.2 seconds" in err
    assert "not yet ready" in text(oven("show", "test").stdout)
    go(oven)
    until(rig, lambda now: now.ready)
    assert "not yet ready" not in text(oven("show", "test").stdout)
    kinds = [row["what"] for row in happened(oven)]
    assert kinds[-2:] == ["late", "ready"]


def test_one_that_is_late_is_followed_again_when_its_follower_dies(rig: Rig, oven: Oven) -> None:
    with pytest.raises(Exception, match="is not ready after"):
        control.start(rig.places, "test", Silent(), timeout=0.2)
    first = state.read(rig.places, "test")
    assert first is not None
    os.kill(first.starter, signal.SIGKILL)
    oven("list")
    second = state.read(rig.places, "test")
    assert second is not None
    assert second.starter not in {0, first.starter}
    go(oven)
    until(rig, lambda now: now.ready)


def happened(oven: Oven) -> list[dict[str, str]]:
    return [json.loads(line) for line in oven("events", "--json").stdout.splitlines()]


def test_a_command_at_work_may_run_something_inside(rig: Rig) -> None:
    """As a restart does with an init that takes orders only from a program."""
    code = """
    from builder.runtime.recovery import repair, tasks
    with tasks.begun(places, "test", runs=False), repair.holding(places, "test"):
        repair.resume(places, "test")
    """
    assert ended(rig, textwrap.dedent(code)) == 0


def test_a_start_that_is_cut_off_just_as_its_init_began_is_undone(rig: Rig) -> None:
    code = """
    from builder.runtime.lifecycle import control
    from builder.runtime.recovery.held import Held
    tell = Held.tell
    def cut(self, what, **more):
        tell(self, what, **more)
        if what == "started":
            raise KeyboardInterrupt
    Held.tell = cut
    control.start(places, "test", Silent())
    """
    assert ended(rig, textwrap.dedent(code)) == -signal.SIGINT
    assert state.read(rig.places, "test") is None


def test_who_loses_the_terminal_undoes_what_was_under_way(rig: Rig, oven: Oven) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *oven.line("start", "test")],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=oven.cwd, env=oven.environment,
    )  # fmt: skip
    os.close(theirs)
    booting(rig)
    os.close(ours)
    process.wait(60)
    assert state.read(rig.places, "test") is None
    assert happened(oven)[-1]["what"] in {"stopped", "failed"}, "by how far it had come"


def test_what_is_to_outlive_its_terminal_does(rig: Rig, oven: Oven) -> None:
    process = Oven(oven.home, argv=("nohup", *oven.argv)).start("start", "test")
    booting(rig)
    process.send_signal(signal.SIGHUP)
    go(oven)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out


def test_a_container_ignores_no_signal_that_its_starter_did(rig: Rig) -> None:
    """As `nohup` has it, or a command that was asked to end and starts again what ran before."""
    begin = """
    import signal
    from builder.model.progress import Silent
    from builder.runtime.lifecycle import control
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    control.start(places, "test", Silent(), timeout=0.1)
    """
    rig.call(begin).communicate()
    current = state.read(rig.places, "test")
    assert current is not None
    for pid in (current.pid, current.monitor):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            assert not ignored & 1 << number - 1


FORKS = """
import os, signal, sys
from builder.host.process import launch
from builder.model.progress import Silent
from builder.runtime.lifecycle import control
from builder.runtime.access.exec import capture

class Ended(BaseException):
    pass

def end(number, frame):
    raise Ended

def fork(fork=os.fork):
    pid = fork()
    if pid and sys._getframe(1).f_code.co_name == "_fork":
        os.kill(os.getpid(), signal.SIGTERM)
    return pid

signal.signal(signal.SIGTERM, end)
os.fork = fork
try:
    capture(places, "test", ("true",))
except Ended:
    print("ended")
"""


def test_a_signal_between_a_fork_and_the_care_for_the_child_leaves_nobody(rig: Rig) -> None:
    """The child would wait for us, we for the guard, and that until nobody has its pipe."""
    with contextlib.suppress(StageError):  # it waits for /go
        control.start(rig.places, "test", Silent(), timeout=0.1)
    process = rig.call(FORKS)
    out, err = process.communicate(timeout=30)
    assert out == b"ended\n", err


UNREAPED = """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)
"""
"""The first process of a host that takes its time to reap those who have lost their parents."""
GIVES_UP = """
from builder.model.progress import Silent
from builder.runtime.lifecycle import control
from builder.runtime.access.exec import capture
control.start(places, "test", Silent())
assert capture(places, "test", ("sleep", "1000"), timeout=0.5)[0] == 137
print(control.stop(places, "test", timeout=10))
"""


def test_a_command_that_was_given_up_does_not_keep_its_container_from_ending(rig: Rig) -> None:
    (rig.places.data / "containers/test/upper/go").touch()
    code = PREAMBLE.format(home=rig.places.data) + GIVES_UP
    around = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    argv = [*around, sys.executable, "-c", UNREAPED, "-c", code]
    done = subprocess.run(argv, capture_output=True, timeout=60, cwd=CHECKOUT)
    assert done.stdout == b"True\n", done.stderr


def test_who_follows_a_start_ends_with_the_container(rig: Rig) -> None:
    """The last that the follower has asked inside may die with the container, as a child of its."""
    begin = """
    import time
    from builder.model.errors import OvenError
    from builder.model.progress import Silent
    from builder.runtime.lifecycle import control
    from builder.runtime.record import state
    try:
        control.start(places, "test", Silent(), timeout=0.05)
    except OvenError:
        pass
    current = state.read(places, "test")
    print(current.starter, current.pid)
    time.sleep({delay})  # the moment of its end is what is varied here
    control.destroy(places, "test", force=True)
    """
    for delay in range(0, 100, 4):
        out, _ = rig.call(begin.replace("{delay}", str(delay / 1000))).communicate()
        create.create(rig.places, rig.container(init=SYSTEMD))
        for pid in map(int, out.split()):
            with pids.hold(pid) as process:
                assert process.wait(10), f"{pids.command_line(pid)} has not ended"
