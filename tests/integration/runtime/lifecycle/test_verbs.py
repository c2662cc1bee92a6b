"""Every verb on a container in every condition: its status, what it says, what is left."""

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from builder.host import pids
from builder.host.kernel import inotify
from builder.model.progress import Silent
from builder.model.value import Digest, hex_of
from builder.runtime.history import snapshots
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.layout import volatile_of
from tests.support.containers.rig import Rig
from tests.support.containers.templates import add, describe
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = [pytest.mark.exhaustive, needs("root", "program:runc", "program:conmon")]

NEWER = Digest("sha256:" + "cd" * 32)
GONE = "gone"


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "var/lib/dpkg").mkdir(parents=True)
    (tree / "var/lib/dpkg/status").touch()
    return tree


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    root = tmp_path_factory.mktemp("newer") / "rootfs"
    shutil.copytree(tree, root, symlinks=True)
    (root / "version").write_text("newer\n")
    return root


@pytest.fixture
def rig(rig: Rig, newer: Path) -> Rig:
    describe(rig)
    add(rig, NEWER, newer, "newer")
    return rig


# Conditions


def stopped(rig: Rig) -> None:
    plain = rig.container()
    create.create(rig.places, msgspec.structs.replace(plain, restart="on-failure"))
    snapshots.create(rig.places, "test", "one")


def running(rig: Rig) -> None:
    stopped(rig)
    control.start(rig.places, "test", Silent())


def frozen(rig: Rig) -> None:
    running(rig)
    control.freeze(rig.places, "test")


def waiting(rig: Rig) -> None:
    """Have it wait for another try, since it has failed often."""
    running(rig)
    current = state.read(rig.places, "test")
    assert current
    state.become(rig.places, "test", current, msgspec.structs.replace(current, again=7))
    with inotify.Folder(volatile_of(rig.places, "test").parent) as folder:
        os.kill(current.pid, signal.SIGKILL)
        while state.status(rig.places, "test") != "restarting":
            folder.wait(0.05)


def half_made(rig: Rig) -> None:
    """Leave what a start does that is killed in the middle."""
    stopped(rig)
    code = (
        "from builder.runtime.lifecycle import control\ncontrol.start(places, 'test', Silent())\n"
    )
    process = rig.call(at_each_step(code, 30, signal.SIGKILL))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert state.status(rig.places, "test") == "starting"


CONDITIONS: Mapping[str, Callable[[Rig], None]] = {
    "missing": lambda _: None,
    "stopped": stopped,
    "running": running,
    "frozen": frozen,
    "restarting": waiting,
    "half-made": half_made,
}
NAMES = list(CONDITIONS)


# What is expected


@dataclass(frozen=True)
class Does:
    """A verb, and for each condition in turn how the container is then, or why it is refused."""

    argv: tuple[str, ...]
    then: tuple[str, ...]
    refusal: int = 7
    """The exit status of a refusal."""


MISSING = "!there is no container `test`"
NOT_RUNNING = "!is not running"
RUNS = ("!is running", "!is frozen", "!is restarting")
SAME = (MISSING, "stopped", "running", "frozen", "restarting", "stopped")
INSIDE = (MISSING, NOT_RUNNING, "running", "!is frozen", NOT_RUNNING, NOT_RUNNING)
UP = (MISSING, "running", "running", "running", "running", "running")

VERBS = {
    "start": Does(("start", "test"), UP),
    "stop": Does(("stop", "test"), (MISSING, *["stopped"] * 5)),
    "restart": Does(("restart", "test"), UP),
    "freeze": Does(
        ("freeze", "test"),
        (MISSING, NOT_RUNNING, "frozen", "frozen", NOT_RUNNING, NOT_RUNNING),
    ),
    "thaw": Does(
        ("thaw", "test"),
        (MISSING, NOT_RUNNING, "running", "running", NOT_RUNNING, NOT_RUNNING),
    ),
    "destroy": Does(("destroy", "test"), (MISSING, GONE, *RUNS, GONE)),
    "destroy by force": Does(("destroy", "--force", "test"), (MISSING, *[GONE] * 5)),
    "rename": Does(("rename", "test", "other"), (MISSING, GONE, *RUNS, GONE)),
    "restore": Does(("snapshot", "restore", "test", "one"), (MISSING, "stopped", *RUNS, "stopped")),
    "restore, stopped for it": Does(
        ("snapshot", "restore", "--stop", "test", "one"), (MISSING, "stopped", *UP[2:5], "stopped")
    ),
    "upgrade": Does(
        ("upgrade", "test", "--to", hex_of(NEWER)), (MISSING, "stopped", *UP[2:5], "stopped")
    ),
    "exec": Does(("exec", "test", "--", "true"), INSIDE, refusal=125),
    "enter": Does(("enter", "test"), INSIDE, refusal=125),
    "set": Does(("set", "test", "--memory", "64M"), SAME),
    "show": Does(("show", "test"), SAME),
    "top": Does(("top", "--once", "test"), SAME),
    "logs": Does(("logs", "test"), SAME),
    "cp out": Does(("cp", "test:/etc/passwd", "{out}/passwd"), SAME),
    "cp in": Does(("cp", "{out}/../home/templates/.", "test:/new"), SAME),
    "diff": Does(("diff", "test"), SAME),
    "snapshot": Does(("snapshot", "create", "test", "two"), SAME),
    "snapshot rm": Does(("snapshot", "rm", "test", "one"), SAME),
    "schedule": Does(("snapshot", "schedule", "test", "--every", "1h"), SAME),
    "clone": Does(("clone", "test", "copy"), SAME),
    "export": Does(("export", "test", "-o", "{out}/file"), SAME),
    "rollback": Does(("rollback", "test"), (MISSING, *["!has not been upgraded"] * 5)),
}
"""`console` has tests of its own: on a container that runs it ends with that."""


@pytest.mark.parametrize("condition", NAMES)
@pytest.mark.parametrize("verb", VERBS)
def test_verb(rig: Rig, tmp_path: Path, verb: str, condition: str) -> None:
    does = VERBS[verb]
    out = tmp_path / "out"
    out.mkdir()
    CONDITIONS[condition](rig)
    before = state.status(rig.places, "test")
    expected = does.then[NAMES.index(condition)]
    refused = expected.startswith("!")
    done = Oven(rig.places.data)(
        *(word.replace("{out}", str(out)) for word in does.argv),
        code=does.refusal if refused else 0,
    )
    there = (rig.places.data / "containers/test").exists()
    after = state.status(rig.places, "test") if there else GONE
    if not refused:
        assert after == expected
        return
    assert text(done.stderr).startswith("error: ")
    assert expected.removeprefix("!") in text(done.stderr)
    assert "\nhint: " in text(done.stderr)
    assert done.stdout == b""
    assert list(out.iterdir()) == []
    if condition not in {"missing", "half-made"}:
        assert after == before


def test_processes_are_those_of_before(rig: Rig) -> None:
    """What looks, copies or keeps does not start a container anew."""
    running(rig)
    before = state.read(rig.places, "test")
    for verb, does in VERBS.items():
        if does.then is SAME and verb not in {"cp out", "cp in", "export"}:
            Oven(rig.places.data)(*does.argv)
    current = state.read(rig.places, "test")
    assert before
    assert current
    assert (current.pid, pids.is_alive(before.pid, before.pid_started)) == (before.pid, True)
