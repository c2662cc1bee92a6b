"""What becomes of an instance whose processes die, which reboots, and which is copied."""

import pytest

from builder.testing.appliance import Appliance
from builder.testing.container import Instance, eventually
from builder.testing.rig import Rig
from builder.testing.secrets import shared_by_copies


def test_killed(twin: Instance, appliance: Appliance) -> None:
    """A unit whose main process is killed comes back, or a probe tells."""
    units = [unit for unit, state in appliance.units.items()
             if state == "enabled" and unit.endswith(".service")]  # fmt: skip
    running = {unit: pid for unit in units if (pid := _main(twin, unit)) not in {"", "0"}}
    if not running:
        pytest.skip("it enables no unit that has a main process")
    silent = [unit for unit, pid in running.items() if not _noticed(twin, unit, pid)]
    assert not silent, f"killed, and nobody tells: {', '.join(silent)}"


def _noticed(twin: Instance, unit: str, pid: str) -> bool:
    """Kill a unit's main process, see what becomes of it, and mend that."""
    twin.exec("kill", "-9", pid)
    settled = eventually(lambda: _state(twin, unit) not in {"activating", "deactivating"}
                         and _main(twin, unit) != pid)  # fmt: skip
    if settled and _state(twin, unit) == "active":
        return eventually(lambda: not twin.ailing)
    noticed = bool(twin.ailing)
    twin.attempt("systemctl", "restart", unit)
    return noticed


def _main(twin: Instance, unit: str) -> str:
    return twin.exec("systemctl", "show", "--property", "MainPID", "--value", unit).strip()


def _state(twin: Instance, unit: str) -> str:
    return twin.exec("systemctl", "show", "--property", "ActiveState", "--value", unit).strip()


def test_reboot(twin: Instance) -> None:
    """After a reboot it is ready again, and the same."""
    before = twin.exec("cat", "/etc/machine-id"), twin.secrets()
    twin.restart()
    assert not (ailing := twin.ailing), ailing
    assert (twin.exec("cat", "/etc/machine-id"), twin.secrets()) == before, "it is another one now"


def test_clone(twin: Instance, rig: Rig, appliance: Appliance) -> None:
    """A copy is ready, and has secrets of its own."""
    copy = rig.clone(twin)
    try:
        assert not copy.problem, copy.problem
        assert not (ailing := copy.ailing), ailing
        kept = {f"secret `{name}`" for name, one in appliance.interface.secrets.items()
                if one.clone == "keep"}  # fmt: skip
        assert not (alike := set(shared_by_copies(twin, copy)) - kept), "both have: " + ", ".join(
            alike
        )
    finally:
        rig.remove(copy)
