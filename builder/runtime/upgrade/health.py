"""Health: whether a container that was changed works as well as it did before."""

from dataclasses import dataclass

from builder.host.places import Places
from builder.model.errors import StageError
from builder.model.progress import Reporter
from builder.runtime.access import exec as inside
from builder.runtime.access import logs
from builder.runtime.record import state
from builder.runtime.record.container import load
from builder.runtime.recovery.tasks import Trial

_APT = (
    "apt-get", "-qq", "--yes", "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
)  # fmt: skip
_ENVIRONMENT = ("env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
_APT_TIMEOUT = 1800.0


@dataclass(frozen=True, slots=True)
class Before:
    """What was true of a container before it was changed."""

    running: bool
    failed: frozenset[str] = frozenset()
    """Units that had failed anyway."""


def before(places: Places, name: str) -> Before:
    """Look at a container that is about to be changed."""
    status = state.status(places, name)
    if status != "running" or load(places, name).init != "systemd":
        return Before(running=status != "stopped")
    return Before(running=True, failed=frozenset(inside.boot_report(places, name).failed))


def check(places: Places, name: str, earlier: Before, *, timeout: float) -> None:
    """Raise StageError when a container that has started does not work as it did.

    It has been waited for until it was ready. With systemd: when a unit has failed that had not
    before.
    """
    if not state.alive(state.read(places, name)):
        raise StageError("it has ended", output=logs.tail(places, name))
    if load(places, name).init == "systemd":
        _check_units(places, name, earlier, timeout)


def _check_units(places: Places, name: str, earlier: Before, timeout: float) -> None:
    report = inside.boot_report(places, name, timeout=timeout)
    new = sorted(set(report.failed) - earlier.failed)
    if new:
        raise StageError(f"units failed: {', '.join(new)}", output=_why(places, name, new))
    if report.state not in {"running", "degraded"}:
        raise StageError(f"systemd says `{report.state}`", output=logs.tail(places, name))


def finish_inside(places: Places, name: str, made: Trial, report: Reporter) -> None:
    """Do inside what an upgrade has left to do there; it may be done again."""
    if made.libraries:
        inside.capture(places, name, ("ldconfig",))
    if not (made.install or made.remove):
        return
    task = report.begin(f"installing packages in {name}")
    try:
        _run(places, name, *_APT, "update")
        if made.install:
            _run(places, name, *_APT, "--no-install-recommends", "install", "--", *made.install)
        if made.automatic:
            _run(places, name, "apt-mark", "-qq", "auto", "--", *made.automatic)
        if made.remove:
            _run(places, name, *_APT, "remove", "--", *made.remove)
    finally:
        task.close()


def _run(places: Places, name: str, *argv: str) -> None:
    code, output = inside.capture(places, name, (*_ENVIRONMENT, *argv), timeout=_APT_TIMEOUT)
    if code != 0:
        raise StageError(
            f"`{argv[0]}` inside ended with status {code}", command=" ".join(argv), output=output
        )


def _why(places: Places, name: str, units: list[str]) -> str:
    argv = ("systemctl", "status", "--no-pager", "--lines=20", "--", *units)
    return inside.capture(places, name, argv)[1]
