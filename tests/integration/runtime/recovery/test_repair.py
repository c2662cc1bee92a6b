"""Whatever breaks while a container is worked on: the next command repairs it, and nothing is lost.

What moves layers, and what changes networks and disks, is tried in the files of those.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.host import pids
from builder.model.errors import HostError, OvenError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control, create, update
from builder.runtime.record import state
from builder.runtime.record.container import Limits, all_names, load
from builder.runtime.record.layout import volatile_of
from tests.support.containers.rig import Rig
from tests.support.faults.filler import Filler
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs

pytestmark = [pytest.mark.exhaustive, needs("root", "program:runc", "program:conmon")]

KEPT = "what somebody has written"
SET = """
import msgspec
from builder.runtime.lifecycle import update
from builder.runtime.record.container import Limits
change = lambda one: msgspec.structs.replace(one, limits=Limits(pids=77, cpus=0.5))
update.change(places, "test", change)
"""
EXEC = """
from builder.runtime.access.exec import capture
capture(places, "test", ("true",))
"""
VERBS = {
    "start": ("control.start(places, 'test', Silent())", "stopped"),
    "stop": ("control.stop(places, 'test', timeout=3)", "running"),
    "restart": ("control.restart(places, 'test', Silent(), timeout=3)", "running"),
    "freeze": ("control.freeze(places, 'test')", "running"),
    "thaw": ("control.thaw(places, 'test')", "frozen"),
    "destroy": ("control.destroy(places, 'test', force=True)", "running"),
    "set": (SET, "running"),
    "exec": (EXEC, "running"),
}  # fmt: skip
IMPORTS = "from builder.runtime.lifecycle import control\n"


def begin(rig: Rig, status: str) -> None:
    """Make the container anew, with a file of its own, and bring it to where a verb begins."""
    if "test" in all_names(rig.places):
        control.destroy(rig.places, "test", force=True)
    create.create(rig.places, rig.container())
    (rig.places.data / "containers/test/upper/kept").write_text(KEPT)
    if status != "stopped":
        control.start(rig.places, "test", Silent())
    if status == "frozen":
        control.freeze(rig.places, "test")


def check(rig: Rig, *, gone: bool = False) -> None:
    """See that the next commands work, and that the file is what it was."""
    rows = {row.name: row for row in show.list_containers(rig.places)}
    if gone and "test" not in rows:
        return
    assert rows["test"].status in {"stopped", "running", "frozen", "starting", "stopping"}
    if control.start(rig.places, "test", Silent()).frozen:
        control.thaw(rig.places, "test")
    assert capture(rig.places, "test", ("cat", "/kept"))[1] == KEPT
    control.stop(rig.places, "test", timeout=3)
    assert rig.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stride", [37, pytest.param(1, marks=pytest.mark.slow)])
def test_death_at_any_step(rig: Rig, verb: str, number: signal.Signals, stride: int) -> None:
    code, status = VERBS[verb]
    for step in range(1, 1000, stride):
        begin(rig, status)
        process = rig.call(at_each_step(IMPORTS + code, step, number))
        out, err = process.communicate(timeout=60)
        check(rig, gone=verb == "destroy")
        if b"came through" in out:
            assert step > 1, "the deaths must have hit something"
            return
        assert process.returncode != 0, err
    pytest.fail("the verb never came to its end")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "exec"])
def test_a_full_disk_at_any_step(small: Rig, verb: str) -> None:
    code, status = VERBS[verb]
    filler = Filler(small)
    done = 0
    for pages in (0, 1, 2, 4, 6, 10, 32):
        begin(small, status)
        filler.leave(pages)
        process = small.call(IMPORTS + code)
        _, err = process.communicate(timeout=60)
        filler.free()
        done += process.returncode == 0
        if process.returncode:
            # One that is no HostError yet is told by the command line, as any full disk.
            known = ("builder.model.errors.", "OSError: [Errno 28]")
            said = err.decode()
            assert any(line.startswith(known) for line in said.splitlines()), said
        check(small, gone=verb == "destroy")
    assert done > 0


def test_making_one_on_a_full_disk_makes_all_or_nothing(small: Rig) -> None:
    filler, made, failed = Filler(small), 0, 0
    for pages in range(12):
        filler.leave(pages)
        try:
            create.create(small.places, small.container())
            made += 1
        except HostError as error:
            assert "space" in f"{error.problem} {error.hint}"
            assert all_names(small.places) == []
            failed += 1
        filler.free()
        if all_names(small.places):
            control.destroy(small.places, "test")
        assert small.leftovers() == []
    assert made > 0
    assert failed > 0


FAKE = """\
#!/bin/sh
for word in "$@"; do
    case $word in {verb}) {deed} ;; esac
done
exec {real} "$@"
"""
WITH_FAKE = """
from pathlib import Path
from builder.runtime.bundle import oci_runtime
from builder.runtime.lifecycle import control
oci_runtime.find = lambda places: Path({fake!r})
control.start(places, "test", Silent())
"""


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str, str], str]:
    """Give the code that starts a container by a runtime that fails or hangs at a verb."""

    def code(verb: str, deed: str) -> str:
        fake = tmp_path / "runtime"
        fake.write_text(FAKE.format(verb=verb, deed=deed, real=shutil.which("runc")))
        fake.chmod(0o755)
        return WITH_FAKE.format(fake=str(fake))

    return code


@pytest.mark.parametrize("deed", ["echo broken >&2; exit 3", "kill -9 $$", "exit 0"])
@pytest.mark.parametrize("verb", ["create", "start"])
def test_a_runtime_that_fails_is_told_and_undone(
    rig: Rig, broken: Callable[[str, str], str], verb: str, deed: str
) -> None:
    begin(rig, "stopped")
    out, err = rig.call(broken(verb, deed)).communicate(timeout=90)
    if (verb, deed) != ("start", "exit 0"):  # that one lies, and its container never comes up
        assert b"HostError: cannot" in err, (out, err)
    check(rig)


@pytest.mark.parametrize("verb", ["create", "start"])
def test_a_runtime_that_hangs_is_left_behind_with_the_command(
    rig: Rig, broken: Callable[[str, str], str], verb: str
) -> None:
    begin(rig, "stopped")
    process = rig.call(broken(verb, "echo >$0.hangs; exec sleep 1000000"))
    mark = rig.places.data.parent / "runtime.hangs"
    deadline = time.monotonic() + 30
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    check(rig)


def test_a_monitor_that_is_killed(rig: Rig) -> None:
    begin(rig, "running")
    current = state.read(rig.places, "test")
    assert current is not None
    os.kill(current.monitor, signal.SIGKILL)
    assert show.show(rig.places, "test").status in {"running", "stopped"}
    control.stop(rig.places, "test", timeout=1)
    check(rig)


def test_a_host_that_was_rebooted(rig: Rig) -> None:
    """Of what ran before a boot there is nothing, but for a state with another boot's number."""
    begin(rig, "running")
    current = state.read(rig.places, "test")
    assert current is not None
    control.stop(rig.places, "test", timeout=1)
    volatile = volatile_of(rig.places, "test")
    volatile.mkdir(parents=True)
    # The pid is somebody else's by now, who must not be taken for the container, nor killed.
    stranger = subprocess.Popen(["sleep", "1000000"])
    before = msgspec.structs.replace(
        current, boot="another", pid=stranger.pid, pid_started=pids.start_time(stranger.pid)
    )
    state.become(rig.places, "test", current, before)
    assert show.show(rig.places, "test").status == "stopped"
    check(rig)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_change_that_the_kernel_refuses_changes_nothing(rig: Rig) -> None:
    begin(rig, "running")
    before = load(rig.places, "test").limits
    with pytest.raises(OvenError):
        update.change(
            rig.places,
            "test",
            lambda one: msgspec.structs.replace(one, limits=Limits(memory=4096)),
        )
    assert load(rig.places, "test").limits == before
    check(rig)
