"""The life of a container with a small init: each verb, and what a death in its middle leaves."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import pytest

from builder.host import pids
from builder.host.kernel import hierarchies
from builder.model.errors import ConflictError, NotFoundError, RecipeError
from builder.model.progress import Silent
from builder.runtime.access import logs
from builder.runtime.access.exec import capture, exec_command
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control, create
from builder.runtime.record import ids, state
from builder.runtime.record.container import all_names, load
from tests.support.containers import rig as support
from tests.support.containers.rig import Rig
from tests.support.faults.steps import START, at_each_step
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")


@pytest.fixture
def running(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


def test_a_whole_life(rig: Rig) -> None:
    create.create(rig.places, rig.container())
    assert state.status(rig.places, "test") == "stopped"
    control.start(rig.places, "test", Silent())
    assert state.status(rig.places, "test") == "running"
    assert "uid=0(root)" in capture(rig.places, "test", ("id",))[1]
    control.stop(rig.places, "test", timeout=20)
    assert state.status(rig.places, "test") == "stopped"
    assert "hello from the console" in logs.console(rig.places, "test")
    assert "going down" in logs.console(rig.places, "test")
    control.destroy(rig.places, "test")
    assert show.list_containers(rig.places) == ()


def test_changes_stay_over_a_restart(running: Rig) -> None:
    assert capture(running.places, "test", ("touch", "/kept"))[0] == 0
    control.stop(running.places, "test", timeout=20)
    upper = running.places.data / "containers/test/upper"
    assert (upper / "kept").stat().st_uid == 0, "ids on disk begin at 0"
    control.start(running.places, "test", Silent())
    assert capture(running.places, "test", ("ls", "/kept")) == (0, "/kept\n")


def test_names_are_written_unless_changed(running: Rig) -> None:
    assert "127.0.1.1 test" in capture(running.places, "test", ("cat", "/etc/hosts"))[1]
    script = "echo mine > /etc/hosts; echo own > /etc/hostname"
    capture(running.places, "test", ("sh", "-c", script))
    control.stop(running.places, "test", timeout=20)
    control.start(running.places, "test", Silent())
    files = ("cat", "/etc/hosts", "/etc/hostname")
    assert capture(running.places, "test", files)[1] == "mine\nown\n"


def test_a_folder_that_was_copied_by_hand_is_another_container(rig: Rig) -> None:
    create.create(rig.places, rig.container())
    containers = rig.places.data / "containers"
    shutil.copytree(containers / "test", containers / "copy")
    control.start(rig.places, "copy", Silent())
    assert load(rig.places, "copy").first_id != load(rig.places, "test").first_id
    control.destroy(rig.places, "copy", force=True)
    assert load(rig.places, "test").name == "test"


def test_start_and_stop_twice_are_fine(running: Rig) -> None:
    first = state.read(running.places, "test")
    assert control.start(running.places, "test", Silent()) == first
    control.stop(running.places, "test", timeout=20)
    control.stop(running.places, "test", timeout=20)


def test_refusals(running: Rig) -> None:
    with pytest.raises(ConflictError, match="there is a container `test` already"):
        create.create(running.places, running.container())
    with pytest.raises(ConflictError, match="is running"):
        control.destroy(running.places, "test")
    with pytest.raises(NotFoundError, match="no container `absent`"):
        control.start(running.places, "absent", Silent())
    with pytest.raises(RecipeError, match="cannot name a container"):
        create.create(running.places, running.container("../evil"))
    with pytest.raises(RecipeError, match="cannot be the working folder"):
        exec_command(running.places, "test", CommandOrder(("true",), cwd="/proc/self/fd/7"))


def test_ranges_of_ids_never_meet(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those of the host are everybody's: another one may take what is free again.
    monkeypatch.setattr(ids, "CLAIMS", tmp_path / "claims")
    made = [create.create(rig.places, rig.container(f"test{n}")) for n in range(3)]
    starts = sorted(container.first_id for container in made)
    assert all(b - a >= 65536 for a, b in pairwise(starts))
    control.destroy(rig.places, "test1")
    again = create.create(rig.places, rig.container("test4"))
    assert again.first_id == made[1].first_id


def test_death_by_itself_is_seen_and_cleaned(running: Rig) -> None:
    current = state.read(running.places, "test")
    assert current
    with pids.hold(current.pid) as init, pids.hold(current.monitor) as monitor:
        init.send(signal.SIGKILL)
        assert init.wait(20)
        assert monitor.wait(20)
    assert show.show(running.places, "test").status == "stopped"
    assert show.show(running.places, "test").exit_code == 137
    control.start(running.places, "test", Silent())
    assert show.show(running.places, "test").status == "running"


def test_stop_kills_what_does_not_listen(rig: Rig, tree: Path) -> None:
    rig.of_systemd()
    # This init knows no SIGRTMIN+3 and never says that it is ready.
    from builder.model.errors import StageError

    with pytest.raises(StageError, match="is not ready after 1 seconds") as caught:
        control.start(rig.places, "test", Silent(), timeout=1)
    assert "hello from the console" in caught.value.output
    assert state.status(rig.places, "test") == "running"
    control.stop(rig.places, "test", timeout=0.5)
    assert state.status(rig.places, "test") == "stopped"


def test_exec_as_user_and_its_groups(running: Rig) -> None:
    process = running.call(
        """
        import sys
        from builder.runtime.bundle.process import CommandOrder
        from builder.runtime.access.exec import exec_command
        call = CommandOrder(("sh", "-c", "id; cat; exit 5"), user="ann", env=("A=b",))
        sys.exit(exec_command(places, "test", call))
        """
    )
    out, err = process.communicate(b"input", timeout=60)
    assert process.returncode == 5, err
    assert out == b"uid=1000(ann) gid=1000 groups=1000,50(staff)\ninput"


def test_exec_leaks_no_descriptor(running: Rig) -> None:
    assert capture(running.places, "test", ("ls", "/proc/self/fd"))[1].split() == list("0123")
    assert set(capture(running.places, "test", ("ls", "/proc/1/fd"))[1].split()) <= {
        "0", "1", "2", "10",
    }, "10 is the shell's own script"  # fmt: skip


def test_console_is_shown_without_escapes(running: Rig) -> None:
    script = r"printf 'a\033]0;title\007b\033[31mc\n' > /dev/console"
    capture(running.places, "test", ("sh", "-c", script))
    control.stop(running.places, "test", timeout=20)
    assert "abc" in logs.console(running.places, "test")


CREATE = """
from builder.runtime.lifecycle import create
from builder.runtime.record.container import new_container
import msgspec
fresh = new_container("test", "sha256:" + "ab" * 32, "tiny")
create.create(places, msgspec.structs.replace(fresh, init="other"))
"""
DESTROY = """
from builder.runtime.lifecycle import control
control.destroy(places, "test", force=True)
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
@pytest.mark.parametrize("verb", ["start", "create", "destroy"])
def test_death_at_any_step_is_repaired(rig: Rig, verb: str, number: signal.Signals) -> None:
    code = {"start": START, "create": CREATE, "destroy": DESTROY}[verb]
    steps = 0
    # A start has the most steps, and dies among other verbs in the file of faults too.
    for step in range(1, 80, 7 if verb == "start" else 4):
        _reach(rig, verb)
        process = rig.call(at_each_step(code, step, number))
        out, err = process.communicate(timeout=60)
        steps += 1
        if b"came through" in out:
            break
        assert process.returncode != 0, err
        # The same command again works, unless the dead one had done all of it already.
        try:
            _do(rig, verb)
        except (ConflictError, NotFoundError):
            assert verb != "start"
        _reach(rig, "create")
        assert rig.leftovers() == [], f"{verb} died at step {step}"
    assert steps > 2, "the deaths must have hit something"


def _do(rig: Rig, verb: str) -> None:
    if verb == "start":
        control.start(rig.places, "test", Silent())
    elif verb == "create":
        create.create(rig.places, rig.container())
    else:
        control.destroy(rig.places, "test", force=True)


def _reach(rig: Rig, verb: str) -> None:
    """Bring the container to where the verb begins."""
    if "test" in all_names(rig.places):
        control.destroy(rig.places, "test", force=True)
    if verb != "create":
        create.create(rig.places, rig.container())
    if verb == "destroy":
        control.start(rig.places, "test", Silent())


@pytest.mark.parametrize("delay", [0.1, 0.15, 0.2, 0.25, 0.3, 0.4])
def test_kill_9_of_start_at_some_moment(rig: Rig, delay: float) -> None:
    create.create(rig.places, rig.container())
    process = rig.call(START)
    time.sleep(delay)  # the moment of death is what is varied here, nothing is waited for
    process.kill()
    process.communicate(timeout=30)
    control.start(rig.places, "test", Silent())
    assert state.status(rig.places, "test") == "running"
    control.stop(rig.places, "test", timeout=20)
    assert rig.leftovers() == []


def on_host_with(rig: Rig, mount: str, code: str) -> "subprocess.CompletedProcess[str]":
    """Run Python where a script has changed what is mounted."""
    program = support.PREAMBLE.format(home=rig.places.data) + textwrap.dedent(code)
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-ec", f'{mount}; exec "$@"', "sh"]
    return subprocess.run(
        [*argv, sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )


def test_version_2_host(rig: Rig) -> None:
    """Run the same code where a version 2 hierarchy is all there is, as on newer hosts."""
    code = """
    from builder.runtime.lifecycle import control
    from builder.runtime.access.exec import capture
    from builder.host.kernel import hierarchies
    assert hierarchies.layout() is hierarchies.Layout.UNIFIED
    control.start(places, "test", Silent())
    print(capture(places, "test", ("cat", "/proc/1/cgroup", "/proc/mounts"))[1])
    control.stop(places, "test", timeout=20)
    """
    create.create(rig.places, rig.container())
    done = on_host_with(rig, "mount -t cgroup2 none /sys/fs/cgroup", code)
    assert done.returncode == 0, done.stderr
    assert "0::/\n" in done.stdout
    assert " /sys/fs/cgroup cgroup2 rw" in done.stdout


def test_read_only_version_1_cgroups_are_told(rig: Rig) -> None:
    """Some container managers show a guest its version 1 hierarchies so; runc needs them."""
    if hierarchies.layout() is not hierarchies.Layout.LEGACY:
        pytest.skip("this host has no version 1 cgroups")
    code = """
    from builder.model.errors import OvenError
    from builder.runtime.lifecycle import control
    from builder.runtime.record import state
    try:
        control.start(places, "test", Silent())
    except OvenError as error:
        print(error)
    print(state.status(places, "test"))
    """
    create.create(rig.places, rig.container())
    read_only = "mount -o remount,bind,ro"
    script = f"for one in $(findmnt -rno TARGET -t cgroup); do {read_only} $one; done"
    done = on_host_with(rig, script, code)
    assert done.returncode == 0, done.stderr
    assert "read-only file system" in done.stdout
    assert done.stdout.endswith("stopped\n")
