"""Probe: boot a template with the runtime and see that all of it comes up, and goes down."""

from typing import TYPE_CHECKING

from builder.host.places import Places
from builder.model.errors import NotFoundError, StageError
from builder.model.progress import Silent
from builder.model.value import Digest, Value, hex_of
from builder.runtime.lifecycle import create
from builder.stages.stage import Stage
from builder.stages.tools import Tools
from builder.templates.local import Template

if TYPE_CHECKING:
    from builder.runtime.access.exec import BootReport

# What runs containers is imported where one is run: a probe is kept far more often than not.

BOOT_TIMEOUT = 120.0
"""Seconds until systemd must have said that it is ready."""

STOP_TIMEOUT = 60.0
"""Seconds until the last process must be gone."""


class Probing(Value, frozen=True, kw_only=True):
    """What is probed, and with what."""

    template: Digest
    runtime: str
    """The OCI runtime's version: another one may behave in another way."""


class Probed(Value, frozen=True, kw_only=True):
    """What was seen: `running`, as systemctl(1) `is-system-running` says it."""

    state: str


def probe_stage(template: Template, places: Places) -> Stage[Probing, Probed]:
    """Give the stage for one template; a report needs no object to stay true."""

    def work(inputs: Probing, _: Tools) -> Probed:
        return _probe(inputs, template, places)

    return Stage("probe", 1, work, Probed, lambda *_: True, lambda probed: probed.state)


def _probe(inputs: Probing, template: Template, places: Places) -> Probed:
    from builder.runtime.access import exec as run_inside
    from builder.runtime.access import logs
    from builder.runtime.lifecycle import control
    from builder.runtime.record.container import new_container

    name = f"probe-{hex_of(inputs.template)[:12]}"
    _remove(places, name)  # what a killed probe left
    container = new_container(name, template.digest, template.name)
    create.create(places, container)
    try:
        control.start(places, name, Silent(), timeout=BOOT_TIMEOUT)
        report = run_inside.boot_report(places, name)
        if report.state != "running" or report.failed:
            raise _unhealthy(places, name, report)
        if not control.stop(places, name, timeout=STOP_TIMEOUT):
            raise StageError(
                f"`{template.name}` boots, but does not shut down by itself",
                output=logs.tail(places, name),
            )
    finally:
        _remove(places, name)
    return Probed(state=report.state)


def _unhealthy(places: Places, name: str, report: "BootReport") -> StageError:
    """Say which units failed, with what each of them wrote."""
    from builder.runtime.access import exec as run_inside
    from builder.runtime.access import logs

    units = report.failed
    status = ("systemctl", "status", "--no-pager", "--lines=15", *units)
    output = run_inside.capture(places, name, status)[1] if units else logs.tail(places, name)
    return StageError(
        f"the template boots `{report.state}`"
        + (f": {', '.join(units)} failed" if units else ", with no failed unit"),
        hint="mask what makes no sense in a container: `mask = [...]` under [services]",
        output=output,
    )


def _remove(places: Places, name: str) -> None:
    from builder.runtime.lifecycle import control

    try:
        control.destroy(places, name, force=True)
    except NotFoundError:
        return
