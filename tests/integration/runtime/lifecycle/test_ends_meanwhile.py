"""Containers that end while a command is at work on them: it says so, and nothing is left."""

from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from tests.support.containers.rig import Rig
from tests.support.needs import needs

pytestmark = [pytest.mark.exhaustive, needs("root", "program:runc", "program:conmon")]

VERBS = {
    "exec": ("exec", "test", "--", "true"),
    "enter": ("enter", "test"),
    "cp out": ("cp", "test:/etc/passwd", "{out}/passwd"),
    "cp in": ("cp", "/etc/hostname", "test:/new"),
    "set": ("set", "test", "--memory", "64M", "--shm-size", "8M", "--hostname", "other"),
    "freeze": ("freeze", "test"),
    "snapshot": ("snapshot", "create", "test", "one"),
    "stop": ("stop", "test"),
    "show": ("show", "test"),
    "top": ("top", "--once", "--memory", "test"),
    "logs": ("logs", "test"),
}
CODE = """
import os, select, signal, sys
from builder.cli.app import run
os.environ["OVEN_HOME"] = str(home)
left, fd, ours = {step}, os.pidfd_open({pid}), os.getpid()
def watch(event, arguments):
    global left
    if event in {{"open", "os.listdir", "os.scandir", "os.fork", "os.mkdir", "os.rename"}}:
        left -= 1
        if left == 0 and os.getpid() == ours:
            try:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the verb itself has ended it
            select.select([fd], [], [])
sys.addaudithook(watch)
try:
    code = run({words})
finally:
    print("left", left, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("stride", [43, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", VERBS)
def test_the_container_ends_at_any_step(rig: Rig, tmp_path: Path, verb: str, stride: int) -> None:
    words = [word.replace("{out}", str(tmp_path)) for word in VERBS[verb]]
    for step in range(1, 2000, stride):
        create.create(rig.places, rig.container())
        pid = control.start(rig.places, "test", Silent()).pid
        process = rig.call(CODE.format(step=step, pid=pid, words=words))
        _, err = process.communicate(timeout=60)
        told = f"step {step}: {err.decode()}"
        assert b"Traceback" not in err, told
        assert b"a bug in oven" not in err, told
        assert process.returncode >= 0, told
        control.start(rig.places, "test", Silent())
        current = state.read(rig.places, "test")
        assert current, told
        if current.frozen:
            control.thaw(rig.places, "test")
        control.stop(rig.places, "test", timeout=10)
        control.destroy(rig.places, "test")
        if b"left 0" not in err and b"left -" not in err:
            return
    pytest.fail("it never came to its end")
