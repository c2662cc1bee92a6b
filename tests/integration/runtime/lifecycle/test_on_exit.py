"""Containers that end by themselves: reboots, shutdowns, failures, and what follows each."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.host import pids
from builder.model.errors import ConflictError, NotFoundError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control, create
from builder.runtime.lifecycle.on_exit import pause_before
from builder.runtime.lifecycle.readiness import NotReadyError
from builder.runtime.record import events, state
from builder.runtime.record.container import Container, Limits, Restart
from builder.runtime.record.layout import folder_of
from builder.runtime.record.state import State
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon", "program:busybox")

PATIENCE = 20.0


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    add_program(tree, "busybox")
    return tree


def make(rig: Rig, restart: Restart = "no", **more: object) -> Container:
    plain = rig.container()
    container = msgspec.structs.replace(plain, restart=restart, **more)
    create.create(rig.places, container)
    control.start(rig.places, "test", Silent())
    return container


def now(rig: Rig) -> State:
    current = state.read(rig.places, "test")
    assert current
    return current


def until(rig: Rig, what: Callable[[State | None], bool]) -> State | None:
    """Wait until that is true of the container's state, with no command of ours at work."""
    deadline = time.monotonic() + PATIENCE
    while not what(current := state.read(rig.places, "test")):
        assert time.monotonic() < deadline, current
        time.sleep(0.02)
    return current


def started_anew(rig: Rig, before: State) -> State:
    """Wait until it is up again."""
    current = until(rig, lambda now: now is not None and now.ready and now.pid != before.pid)
    assert current
    return current


def ended(rig: Rig) -> None:
    """Wait until nothing is left of it but its folder."""
    until(rig, lambda now: now is None)


def fail(rig: Rig) -> State:
    """Make the first process die; give the state before."""
    before = now(rig)
    with pids.hold(before.pid, before.pid_started) as init:
        assert not init.gone
        init.send(signal.SIGKILL)
        assert init.wait(PATIENCE)
    return before


def call(rig: Rig, how: str) -> State:
    """Have busybox `reboot` or `poweroff` without asking the init."""
    before = now(rig)
    capture(rig.places, "test", ("busybox", how, "-f"))
    return before


def test_who_asks_just_as_it_ends_is_told_how(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    make(rig)
    monitor, wait = now(rig).monitor, pids.HeldProcess.wait
    os.kill(monitor, signal.SIGSTOP)
    fail(rig)

    def go_on(process: pids.HeldProcess, timeout: float) -> bool:
        os.kill(monitor, signal.SIGCONT)
        return wait(process, timeout)

    monkeypatch.setattr(pids.HeldProcess, "wait", go_on)
    assert show.show(rig.places, "test").exit_code == 128 + signal.SIGKILL


def test_a_reboot_from_inside_starts_it_again(rig: Rig) -> None:
    make(rig)
    capture(rig.places, "test", ("touch", "/kept", "/run/gone"))
    started_anew(rig, call(rig, "reboot"))
    assert show.show(rig.places, "test").status == "running"
    assert capture(rig.places, "test", ("ls", "/kept"))[0] == 0
    assert capture(rig.places, "test", ("ls", "/run/gone"))[0] != 0


def test_many_reboots_in_a_row_pile_up_nothing(rig: Rig) -> None:
    make(rig)
    mounts = []
    for _ in range(3):
        current = started_anew(rig, call(rig, "reboot"))
        mounts.append(len(Path(f"/proc/{current.monitor}/mounts").read_text().splitlines()))
    assert len(set(mounts)) == 1
    assert now(rig).again == 0


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_a_shutdown_from_inside_is_final(rig: Rig, restart: Restart) -> None:
    make(rig, restart)
    call(rig, "poweroff")
    ended(rig)
    shown = show.show(rig.places, "test")
    assert (shown.status, shown.exit_code) == ("stopped", 130)


def test_a_shutdown_is_not_final_where_it_always_runs(rig: Rig) -> None:
    make(rig, "always")
    started_anew(rig, call(rig, "poweroff"))


def test_a_failure_is_final_without_a_policy(rig: Rig) -> None:
    make(rig)
    fail(rig)
    ended(rig)
    shown = show.show(rig.places, "test")
    assert (shown.status, shown.exit_code) == ("stopped", 137)
    control.start(rig.places, "test", Silent())
    control.stop(rig.places, "test", timeout=PATIENCE)
    assert show.show(rig.places, "test").exit_code is None


def test_failures_are_tried_again_and_counted(rig: Rig) -> None:
    make(rig, "on-failure")
    assert started_anew(rig, fail(rig)).again == 1
    assert started_anew(rig, fail(rig)).again == 2


@pytest.fixture
def paused(rig: Rig) -> State:
    """A container that has failed often, and is not yet due again."""
    make(rig, "on-failure")
    state.become(rig.places, "test", now(rig), msgspec.structs.replace(now(rig), again=5))
    fail(rig)
    current = until(rig, lambda now: now is not None and now.phase == "waiting")
    assert current
    assert show.show(rig.places, "test").status == "restarting"
    return current


def is_over(waiter: State) -> bool:
    with pids.hold(waiter.starter, waiter.starter_started) as starter:
        return starter.wait(PATIENCE)


def test_a_pause_is_ended_by_a_start(rig: Rig, paused: State) -> None:
    control.start(rig.places, "test", Silent())
    first = now(rig)
    assert first.again == 0
    assert not state.waited_for(paused)
    assert now(rig) == first


def test_a_pause_is_ended_by_a_stop(rig: Rig, paused: State) -> None:
    control.stop(rig.places, "test", timeout=PATIENCE)
    assert not state.waited_for(paused)
    assert show.show(rig.places, "test").status == "stopped"


def test_one_whose_pause_was_killed_is_stopped(rig: Rig, paused: State) -> None:
    os.kill(paused.starter, signal.SIGKILL)
    assert is_over(paused)
    assert show.show(rig.places, "test").status == "stopped"
    control.start(rig.places, "test", Silent())


def test_one_that_is_not_kept_goes_with_its_end(rig: Rig) -> None:
    make(rig, remove=True)
    started_anew(rig, call(rig, "reboot"))
    call(rig, "poweroff")
    until(rig, lambda _: not folder_of(rig.places, "test").exists())


def test_a_stop_is_no_failure(rig: Rig) -> None:
    make(rig, "always")
    before = now(rig)
    with pids.hold(before.monitor, before.monitor_started) as monitor:
        assert not monitor.gone
        assert control.stop(rig.places, "test", timeout=PATIENCE)
        assert monitor.wait(PATIENCE)
    assert show.show(rig.places, "test").status == "stopped"


def test_a_command_right_after_a_failure_comes_second(rig: Rig) -> None:
    make(rig, "on-failure")
    before = fail(rig)
    assert control.start(rig.places, "test", Silent()).pid != before.pid
    control.stop(rig.places, "test", timeout=PATIENCE)
    assert show.show(rig.places, "test").status == "stopped"


def test_frozen_processes_do_not_run(rig: Rig) -> None:
    make(rig)
    capture(rig.places, "test", ("sh", "-c", "while :; do :; done >/dev/null 2>&1 &"))
    control.freeze(rig.places, "test")
    assert show.show(rig.places, "test").status == "frozen"
    first, second = spent(rig), spent(rig)
    assert first == second
    control.thaw(rig.places, "test")
    assert show.show(rig.places, "test").status == "running"
    assert spent(rig) > first
    control.freeze(rig.places, "test")
    assert control.stop(rig.places, "test", timeout=PATIENCE), "a frozen one stops like others"


def spent(rig: Rig) -> int:
    """Give the processor time of all processes inside, in ticks, a while from now."""
    from builder.host.kernel import cgroups
    from builder.runtime.record.layout import cgroup_of

    time.sleep(0.2)
    total = 0
    for pid in cgroups.members(cgroup_of(rig.places, "test")):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def test_only_what_runs_can_be_frozen(rig: Rig) -> None:
    create.create(rig.places, rig.container())
    with pytest.raises(ConflictError, match="not running"):
        control.freeze(rig.places, "test")
    with pytest.raises(NotFoundError):
        control.thaw(rig.places, "nobody")


def test_a_protected_one_is_not_destroyed(rig: Rig) -> None:
    make(rig, protected=True)
    with pytest.raises(ConflictError, match="protected"):
        control.destroy(rig.places, "test", force=True)
    assert show.show(rig.places, "test").status == "running"
    unprotect(rig)


def unprotect(rig: Rig) -> None:
    from builder.runtime.record.container import encode, load

    loose = msgspec.structs.replace(load(rig.places, "test"), protected=False)
    (folder_of(rig.places, "test") / "container.json").write_bytes(encode(loose))


def test_stop_does_not_wait_for_a_start_that_waits(rig: Rig) -> None:
    rig.of_systemd()  # it never says that it is ready
    process = rig.call(
        """
        from builder.runtime.lifecycle import control
        control.start(places, "test", Silent(), timeout=600)
        """
    )
    deadline = time.monotonic() + PATIENCE
    while state.status(rig.places, "test") != "starting":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while now(rig).phase != "booting":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    control.stop(rig.places, "test", timeout=0.1)
    _, said = process.communicate(timeout=PATIENCE)
    assert NotReadyError.__name__.encode() in said
    assert b"ended before it was ready" in said


def told(rig: Rig) -> list[tuple[str, dict[str, object]]]:
    """Give the events so far, without the numbers of processes."""
    return [
        (event.what, {key: event.details[key] for key in event.details if key != "pid"})
        for event in events.read(rig.places)
    ]


def test_events_tell_how_it_ended_and_what_followed(rig: Rig) -> None:
    make(rig, "on-failure")
    started_anew(rig, call(rig, "reboot"))
    started_anew(rig, fail(rig))
    control.stop(rig.places, "test", timeout=PATIENCE)
    up: list[tuple[str, dict[str, object]]] = [("started", {}), ("ready", {})]
    assert told(rig) == [
        ("created", {"template": "tiny"}),
        *up,
        ("ended", {"code": 129, "how": "reboot"}),
        *up,
        ("ended", {"code": 137, "how": "failure"}),
        ("waiting", {"again": 1, "seconds": 0.5}),
        *up,
        ("stopped", {"killed": False}),
    ]


def test_events_tell_of_memory_that_ran_out(rig: Rig) -> None:
    make(rig, limits=Limits(memory=32 << 20, swap=0))
    capture(rig.places, "test", ("sh", "-c", "head -c 200M /dev/zero | tail -c 100M >/dev/null"))
    fail(rig)
    ended(rig)
    what, details = told(rig)[-1]
    assert what == "ended"
    assert details["oom_kills"]


def test_events_tell_of_an_end_that_nobody_saw(rig: Rig) -> None:
    make(rig)
    current = now(rig)
    os.kill(current.monitor, signal.SIGKILL)
    fail(rig)
    control.start(rig.places, "test", Silent())
    whats = [what for what, _ in told(rig)]
    assert whats[-3:] == ["ended", "started", "ready"]
    assert ("ended", {"how": "unseen"}) in told(rig)


@pytest.mark.parametrize(("again", "pause"), [(1, 0.5), (2, 1), (7, 32), (8, 60), (5000, 60)])
def test_pauses_grow_up_to_a_minute(again: int, pause: float) -> None:
    assert pause_before(again) == pause
