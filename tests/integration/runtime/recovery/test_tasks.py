"""What a container was stopped for is ended or undone, wherever that was cut off."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from builder.host import pids
from builder.host.kernel import inotify, mounts
from builder.model.errors import OvenError
from builder.model.progress import Silent
from builder.model.value import Digest, hex_of
from builder.runtime.access.exec import capture
from builder.runtime.history import snapshots
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Init, load
from builder.runtime.recovery import tasks
from tests.support.containers.rig import DIGEST, Rig, add_program, put_init
from tests.support.containers.templates import add, describe
from tests.support.faults.filler import Filler
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs
from tests.support.oven import Oven, finished, text

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:systemd-notify"),
]

NEW, BAD = (Digest("sha256:" + letters * 32) for letters in ("cd", "ef"))
NAMES = {"new": hex_of(NEW), "bad": hex_of(BAD)}
SYSTEMD: Init = "systemd"
INIT = """\
#!/bin/sh
trap 'exit 0' 37
systemd-notify --ready
while :; do sleep .05; done
"""
SYSTEMCTL = """\
#!/bin/sh
case "$*" in
    *--wait*)
        touch /asked
        test ! -e /slow || until test -e /go; do sleep .05; done
        echo running ;;
    *is-system-running*) echo running ;;
    *--failed*) test ! -e /broken || echo bad.service loaded failed failed ;;
esac
"""


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    for program in ("systemd-notify", "test"):
        add_program(tree, program)
    put_init(tree, INIT, as_systemd=True)
    (tree / "usr/bin/systemctl").write_text(SYSTEMCTL)
    (tree / "usr/bin/systemctl").chmod(0o755)
    (tree / "version").write_text("old\n")
    (tree / "var/lib/dpkg").mkdir(parents=True)
    (tree / "var/lib/dpkg/status").touch()
    return tree


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> dict[Digest, Path]:
    """New templates: one whose systemd takes its time, and one that has a failed unit too."""
    made = {}
    for digest, files in ((NEW, ("slow",)), (BAD, ("slow", "broken"))):
        made[digest] = tmp_path_factory.mktemp("new") / "rootfs"
        shutil.copytree(tree, made[digest], symlinks=True)
        (made[digest] / "version").write_text("new\n")
        for name in files:
            (made[digest] / name).touch()
    return made


def fill(rig: Rig, trees: dict[Digest, Path]) -> Rig:
    describe(rig)
    for digest, name in ((NEW, "new"), (BAD, "bad")):
        add(rig, digest, trees[digest], name)
    create.create(rig.places, rig.container(init=SYSTEMD))
    return rig


@pytest.fixture
def rig(rig: Rig, trees: dict[Digest, Path]) -> Rig:
    return fill(rig, trees)


def version(rig: Rig) -> str:
    return capture(rig.places, "test", ("cat", "/version"))[1].strip()


def task(rig: Rig) -> bool:
    return (rig.places.data / "containers/test/task.json").exists()


def upgrading(rig: Rig, oven: Oven, template: str) -> "subprocess.Popen[bytes]":
    """Begin an upgrade, and come back when it waits for the verdict on the new template."""
    control.start(rig.places, "test", Silent())
    upper = rig.places.data / "containers/test/upper"
    process = oven.start("upgrade", "test", "--to", NAMES[template])
    containers = rig.places.data / "containers/test"
    with inotify.Folder(containers) as folder:
        while load(rig.places, "test").template == DIGEST:
            assert process.poll() is None, process.communicate()
            folder.wait(5)
    with inotify.Folder(upper) as folder:
        while not (upper / "asked").exists():
            assert process.poll() is None, process.communicate()
            folder.wait(5)
    return process


ENDS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


@pytest.mark.parametrize("number", ENDS)
def test_a_trial_that_was_cut_off_is_judged_or_undone(
    rig: Rig, oven: Oven, number: signal.Signals
) -> None:
    process = upgrading(rig, oven, "bad")
    process.send_signal(number)
    finished(process)
    killed = number == signal.SIGKILL
    assert task(rig) is killed
    if killed:
        pid = state.read(rig.places, "test")
        assert pid is not None
        inside = ["nsenter", "-t", str(pid.pid), "-U", "-m", "-S", "0", "-G", "0"]
        subprocess.run([*inside, "touch", "/go"], check=True)
    shown = oven("exec", "test", "--", "cat", "/version")
    assert text(shown.stdout) == "old\n"
    assert (b"units failed: bad.service" in shown.stderr) is killed
    assert state.status(rig.places, "test") == "running"
    assert load(rig.places, "test").template == DIGEST


def test_a_good_trial_that_was_cut_off_is_ended(rig: Rig, oven: Oven) -> None:
    process = upgrading(rig, oven, "new")
    process.kill()
    process.communicate()
    current = state.read(rig.places, "test")
    assert current is not None
    inside = ["nsenter", "-t", str(current.pid), "-U", "-m", "-S", "0", "-G", "0"]
    subprocess.run([*inside, "touch", "/go"], check=True)
    done = oven("upgrade", "test", "--to", NAMES["new"])
    assert b"is healthy on `new`, and stays on it" in done.stderr
    assert text(done.stdout) == "test is up to date\n"
    assert version(rig) == "new"
    assert not task(rig)


def test_one_that_is_to_stop_is_not_started_for_a_verdict(rig: Rig, oven: Oven) -> None:
    process = upgrading(rig, oven, "bad")
    current = state.read(rig.places, "test")
    assert current is not None
    init = pids.hold(current.pid, current.pid_started)
    assert not init.gone
    with init, mounts.adopting():  # the first process of a host may take its time to reap
        process.kill()
        process.communicate()
        os.kill(current.pid, signal.SIGKILL)
        while not init.wait(0.1):
            pids.reap_adopted()
    said = oven.said("stop", "test")
    assert "is as it was before the upgrade" in said
    assert load(rig.places, "test").template == DIGEST
    assert state.status(rig.places, "test") == "stopped"


VERBS = {
    "restart": ("restart", "test"),
    "restore": ("snapshot", "restore", "--stop", "test", "kept"),
    "rollback": ("rollback", "--stop", "test"),
    "upgrade": ("upgrade", "test", "--to", NAMES["new"]),
}
CALL = "from builder.cli.app import run\nimport os\nos.environ['OVEN_HOME'] = str(home)\n"


def prepare(rig: Rig, verb: str) -> None:
    """Have the container run, with what the verb needs."""
    control.destroy(rig.places, "test", force=True)
    create.create(rig.places, rig.container(init=SYSTEMD))
    upper = rig.places.data / "containers/test/upper"
    (upper / "go").write_text("mine\n")
    snapshots.create(rig.places, "test", "kept")
    if verb == "rollback":
        from builder.runtime.upgrade import upgrade
        from builder.templates.local import Templates

        new = Templates(rig.places.data).find(NEW)
        upgrade.upgrade(rig.places, "test", upgrade.UpgradeRequest(new, start=False), Silent())
    control.start(rig.places, "test", Silent())


def check(rig: Rig, oven: Oven) -> None:
    """See that any next command leaves it running and whole."""
    oven("set", "test", "--pids", "500")
    assert state.status(rig.places, "test") == "running"
    assert not task(rig)
    assert version(rig) in {"old", "new"}
    assert capture(rig.places, "test", ("cat", "/go"))[1] == "mine\n"
    assert not (rig.places.data / "containers/test/change.json").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stride", [43, pytest.param(1, marks=pytest.mark.slow)])
def test_what_ran_runs_again_wherever_it_was_cut_off(
    rig: Rig, oven: Oven, verb: str, number: signal.Signals, stride: int
) -> None:
    for step in range(1, 2000, stride):
        prepare(rig, verb)
        work = f"assert run({VERBS[verb]!r}) == 0"
        process = rig.call(CALL + at_each_step(work, step, number))
        out, err = process.communicate(timeout=60)
        check(rig, oven)
        if b"came through" in out:
            assert step > 1, "the deaths must have hit something"
            return
        assert process.returncode != 0, err
    pytest.fail("the verb never came to its end")


@pytest.mark.parametrize("verb", VERBS)
def test_what_ran_runs_again_after_a_full_disk(
    small: Rig, trees: dict[Digest, Path], verb: str
) -> None:
    fill(small, trees)
    filler = Filler(small)
    for pages in (0, 1, 2, 4, 6, 10):
        prepare(small, verb)
        filler.leave(pages)
        process = small.call(CALL + f"raise SystemExit(run({VERBS[verb]!r}))")
        _, err = process.communicate(timeout=60)
        filler.free()
        assert b"Traceback" not in err, err
        check(small, Oven(small.places.data))


def test_a_restart_keeps_what_was_to_be_gone_once_it_is_stopped(rig: Rig, oven: Oven) -> None:
    import msgspec

    gone = msgspec.structs.replace(rig.container("gone", init=SYSTEMD), remove=True)
    create.create(rig.places, gone)
    oven("start", "gone")
    oven("exec", "gone", "--", "touch", "/mine")
    oven("restart", "gone")
    oven("exec", "gone", "--", "cat", "/mine")
    oven("stop", "gone")
    assert "gone" not in text(oven("list", "-q").stdout)


def test_two_at_once_wait_for_each_other(rig: Rig, oven: Oven) -> None:
    control.start(rig.places, "test", Silent())
    both = [oven.start("restart", "test") for _ in range(2)]
    for one in both:
        out, _ = one.communicate(timeout=60)
        assert one.returncode == 0, out
    assert tasks.read(rig.places, "test") is None
    with pytest.raises(OvenError):
        snapshots.restore(rig.places, "test", "none")
