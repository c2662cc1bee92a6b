"""Probe: boot a template with the runtime and see that all of it comes up, and goes down."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from builder.host.places import Places
from builder.model import amounts
from builder.model.errors import ConflictError, NotFoundError, OvenError, StageError
from builder.model.feature import Feature
from builder.model.network import DEFAULT
from builder.model.progress import Silent
from builder.model.recipe import Probe
from builder.model.value import Digest, Value, hex_of
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.request import probe_place
from builder.runtime.lifecycle import create
from builder.stages.stage import Stage
from builder.stages.tools import Tools
from builder.templates.local import Template

if TYPE_CHECKING:
    from builder.runtime.access.exec import BootReport
    from builder.runtime.lifecycle.readiness import NotReadyError
    from builder.runtime.record.container import Container
    from builder.runtime.record.state import State

# What runs containers is imported where one is run: a probe is kept far more often than not.

TIMEOUT = "2m"
"""How long it may take to be up where no recipe says so, and as long again to go down."""

_ASKED = 20.0
"""Seconds that systemd may take to say what it waits for."""

_AWAITED = 3
"""Units that are named of those that are waited for."""


class Probing(Value, frozen=True, kw_only=True):
    """What is probed, with what, and how."""

    template: Digest
    runtime: str
    """The OCI runtime's version: another one may behave in another way."""
    network: bool = False
    timeout: str = TIMEOUT
    may_fail: tuple[str, ...] = ()
    """Units that are no fault when they fail."""
    features: tuple[Feature, ...] = ()


class Probed(Value, frozen=True, kw_only=True):
    """What was seen, in a few words."""

    state: str


def probing(template: Template, runtime: str, asked: Probe) -> Probing:
    """Gather all that decides how a template is probed."""
    return Probing(
        template=template.digest,
        runtime=runtime,
        network=bool(asked.network),
        timeout=asked.timeout or TIMEOUT,
        may_fail=tuple(sorted(asked.may_fail)),
        features=template.features,
    )


def probe_stage(places: Places, recipe: LoadedRecipe) -> Stage[Probing, Probed]:
    """Give the stage for what a recipe made; a report needs no object to stay true."""

    def work(inputs: Probing, _: Tools) -> Probed:
        return _probe(_Trial(inputs, places, recipe))

    return Stage("probe", 2, work, Probed, lambda *_: True, lambda probed: probed.state)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A template that is probed, as a container that nobody else knows."""

    inputs: Probing
    places: Places
    recipe: LoadedRecipe

    @property
    def template(self) -> str:
        return self.recipe.name

    @property
    def name(self) -> str:
        return f"probe-{hex_of(self.inputs.template)[:12]}"

    @property
    def seconds(self) -> float:
        return amounts.seconds(self.inputs.timeout) or 0.0


def _probe(trial: _Trial) -> Probed:
    from builder.runtime.record.container import load

    places, name = trial.places, trial.name
    _remove(places, name)  # what a killed probe left
    create.create(places, _container(trial))
    deadline = time.monotonic() + trial.seconds
    try:
        current = _started(trial)
        container = load(places, name)
        if container.init == "systemd":
            report = _report(trial, deadline)
            seen = _judged(trial, report)
        else:
            seen = "up" if container.init == "other" else f"up, with {container.init}"
        _stop(trial, container, current)
    finally:
        _remove(places, name)
    return Probed(state=seen)


def _container(trial: _Trial) -> "Container":
    from builder.runtime.record.container import Interface, new_container

    container = new_container(trial.name, trial.inputs.template, trial.template)
    interfaces = (Interface(network=DEFAULT),) if trial.inputs.network else ()
    return msgspec.structs.replace(container, interfaces=interfaces, features=trial.inputs.features)


def _started(trial: _Trial) -> "State":
    """Start it, and wait until its init says that all is up, as for every container."""
    from builder.runtime.lifecycle import control
    from builder.runtime.lifecycle.readiness import NotReadyError

    try:
        return control.start(trial.places, trial.name, Silent(), timeout=trial.seconds)
    except NotReadyError as error:
        raise _late(trial, error) if error.late else _ended(trial, error.output) from None


def _report(trial: _Trial, deadline: float) -> "BootReport":
    from builder.runtime.access import exec as run_inside
    from builder.runtime.access import logs

    left = max(deadline - time.monotonic(), 1.0)
    try:
        report = run_inside.boot_report(trial.places, trial.name, timeout=left)
    except ConflictError:  # it was up, and has ended since
        raise _ended(trial, logs.tail(trial.places, trial.name)) from None
    if report.state in {"", "initializing", "starting"}:  # it was not waited for any longer
        raise _late(trial, None)
    return report


def _judged(trial: _Trial, report: "BootReport") -> str:
    """Say what came of a boot with systemd; raise when that is not what was asked for."""
    allowed = [unit for unit in report.failed if unit in trial.inputs.may_fail]
    failed = [unit for unit in report.failed if unit not in allowed]
    if failed or report.state != ("degraded" if allowed else "running"):
        raise _unhealthy(trial, report.state, failed)
    return f"{report.state}: {', '.join(allowed)} failed, as it may" if allowed else report.state


def _stop(trial: _Trial, container: "Container", current: "State") -> None:
    from builder.host import pids
    from builder.runtime.access import logs
    from builder.runtime.lifecycle import control
    from builder.runtime.record import inits

    signal = inits.manner(container.init).stop
    obeys = not signal or pids.takes(current.pid, signal)
    if not control.stop(trial.places, trial.name, timeout=trial.seconds) and obeys:
        raise StageError(
            f"`{trial.template}` boots, but does not shut down by itself"
            f" within {trial.inputs.timeout}",
            hint="something in it takes no order to stop; the end of its console is shown",
            output=logs.tail(trial.places, trial.name),
        )


def _ended(trial: _Trial, console: str) -> StageError:
    return StageError(
        f"`{trial.template}` does not stay up: its init has ended",
        hint="the end of its console is shown" if console else None,
        output=console,
    )


def _late(trial: _Trial, error: "NotReadyError | None") -> StageError:
    """Say what a boot waits for that takes too long; systemd knows."""
    from builder.runtime.access import exec as run_inside
    from builder.runtime.access import logs

    jobs = ("systemctl", "list-jobs", "--no-legend", "--plain", "--full")
    units: list[str] = []
    with suppress(OvenError):
        listed = run_inside.capture(trial.places, trial.name, jobs, timeout=_ASKED)[1]
        rows = [line.split() for line in listed.splitlines()]
        units = [row[1] for row in rows if len(row) == 4 and row[3] == "running"]
    named = ", ".join(units[:_AWAITED]) + (" and more" if len(units) > _AWAITED else "")
    problem = f"`{trial.template}` is not up after {trial.inputs.timeout}"
    hint = "`timeout` under `[probe]` gives it longer"
    if not trial.inputs.network:
        hint += ", and `network = true` gives it a network"
    return StageError(
        f"{problem}: it waits for {named}" if named else problem,
        at=probe_place(trial.recipe, "timeout"),
        hint=hint,
        output=error.output if error else logs.tail(trial.places, trial.name),
    )


def _unhealthy(trial: _Trial, state: str, units: list[str]) -> StageError:
    """Say which units failed, with what each of them wrote."""
    from builder.runtime.access import exec as run_inside
    from builder.runtime.access import logs

    places, name = trial.places, trial.name
    if not units:
        return StageError(
            f"`{trial.template}` boots `{state}`, with no failed unit",
            hint="the end of its console is shown",
            output=logs.tail(places, name),
        )
    status = ("systemctl", "status", "--no-pager", "--lines=15", "--", *units)
    network = "" if trial.inputs.network else "`network = true` for what needs one, or "
    return StageError(
        f"`{trial.template}` boots `{state}`: {', '.join(units)} failed",
        hint="`mask` under `[services]` what makes no sense in a container; under `[probe]` there"
        f" is {network}`may-fail` for what works only in its real place",
        output=run_inside.capture(places, name, status)[1],
    )


def _remove(places: Places, name: str) -> None:
    from builder.runtime.lifecycle import control

    try:
        control.destroy(places, name, force=True)
    except NotFoundError:
        return
