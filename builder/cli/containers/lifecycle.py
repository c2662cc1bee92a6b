"""`oven start`, `stop`, `restart`, `destroy`, `freeze` and `thaw`."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from builder.cli.containers import autostart
from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose
from builder.host.places import Places
from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.model.progress import Reporter
    from builder.runtime.record.container import Container
    from builder.runtime.record.state import State

NAMES = click.argument("names", metavar="NAME...", nargs=-1, required=True)
_SOME_NAMES = click.argument("names", metavar="[NAME...]", nargs=-1)
_ASKED_TO_END = {128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit statuses after which nothing more is begun."""
_TIME = click.option(
    "-t",
    "--time",
    "seconds",
    type=float,
    default=90,
    metavar="SECONDS",
    help="Kill what takes longer.",
)


@click.command()
@_SOME_NAMES
@click.option(
    "--autostart", is_flag=True, help="Start those that are to start with the host, in their order."
)
@verbose
def start(names: tuple[str, ...], autostart: bool) -> int:  # noqa: FBT001  # click's way
    """Start containers and wait until each is ready."""
    _check_names(names, instead=autostart, option="--autostart")
    places = places_of()
    if not autostart:
        return _each(names, lambda name: start_and_tell(places, name))
    from builder.runtime.lifecycle import autostart as with_host
    from builder.runtime.network import pasta

    worst = 0
    for group in with_host.groups(places):
        if places.ordinary and any(one.interfaces for one in group):
            pasta.await_network()
        code = _every([one.name for one in group], lambda name: start_and_tell(places, name))
        if code in _ASKED_TO_END:
            return code
        worst = worst or code
        time.sleep(max(one.autostart.delay for one in group if one.autostart))
    return worst


@click.command()
@_SOME_NAMES
@click.option(
    "--all", "every", is_flag=True, help="Stop all that run, those first that are started last."
)
@_TIME
@verbose
def stop(names: tuple[str, ...], every: bool, seconds: float) -> int:  # noqa: FBT001
    """Stop containers: their init shuts down in its own way, and is killed if it takes too long."""
    _check_names(names, instead=every, option="--all")
    from builder.runtime.lifecycle import control

    places = places_of()

    def work(name: str) -> None:
        control.stop(places, name, timeout=seconds)
        click.echo(name)

    if not every:
        return _each(names, work)
    from builder.runtime.lifecycle import autostart

    worst = 0
    for group in autostart.stop_groups(places):
        code = _every(group, work)
        if code in _ASKED_TO_END:
            return code
        worst = worst or code
    return worst


@click.command()
@NAMES
@_TIME
@verbose
def restart(names: tuple[str, ...], seconds: float) -> int:
    """Stop containers and start them again."""
    from builder.runtime.lifecycle import control

    places = places_of()

    def work(name: str) -> None:
        _begin_and_tell(
            places, name, lambda report: control.restart(places, name, report, timeout=seconds)
        )

    return _each(names, work)


@click.command()
@NAMES
@click.option("-f", "--force", is_flag=True, help="Do not ask, and kill one that runs.")
@click.option(
    "--volumes", "with_volumes", is_flag=True, help="Remove the data of its own volumes, too."
)
@verbose
def destroy(names: tuple[str, ...], force: bool, with_volumes: bool) -> int:  # noqa: FBT001
    """Remove containers and all that is in them; volumes stay."""
    from builder.runtime.history import schedule
    from builder.runtime.lifecycle import control
    from builder.runtime.record import layout
    from builder.runtime.record.container import load
    from builder.runtime.record.layout import folder_of

    places = places_of()

    def work(name: str) -> None:
        with_schedule = schedule.is_set(places, name)
        with_backups = (folder_of(places, name) / layout.BACKUP).exists()
        if not force and sys.stdin.isatty():
            load(places, name)  # or there is nothing to ask about
            more = ", its volumes" if with_volumes else ""
            _confirm(f"remove container `{name}`{more} and all that is in it?")
        gone = control.destroy(places, name, force=force)
        click.echo(name)
        settle_volumes(places, gone, remove=with_volumes)
        if gone.autostart is not None:
            autostart.settle_autostart(places)
        if with_schedule:
            settle_schedule(places)
        if with_backups:
            settle_backups(places)

    return _in_turn(names, work)


@click.command()
@NAMES
@verbose
def freeze(names: tuple[str, ...]) -> int:
    """Halt all processes of running containers where they are."""
    from builder.runtime.lifecycle import control

    places = places_of()

    def work(name: str) -> None:
        control.freeze(places, name)
        click.echo(name)

    return _in_turn(names, work)


@click.command()
@NAMES
@verbose
def thaw(names: tuple[str, ...]) -> int:
    """Let frozen containers go on."""
    from builder.runtime.lifecycle import control

    places = places_of()

    def work(name: str) -> None:
        control.thaw(places, name)
        click.echo(name)

    return _in_turn(names, work)


def start_and_tell(places: Places, name: str) -> None:
    """Start a container, wait until it is ready, and print its name and address."""
    from builder.runtime.lifecycle import control

    _begin_and_tell(places, name, lambda report: control.start(places, name, report))


def _begin_and_tell(places: Places, name: str, begin: "Callable[[Reporter], State]") -> None:
    from builder.host.units import systemd_of
    from builder.model.progress import Silent
    from builder.runtime.lifecycle import autostart

    autostart.hold(places, systemd_of(places))
    if sys.stderr.isatty():
        from builder.cli.terminal.progress import Waiting

        with Waiting(f"starting {name}"):
            state = begin(Silent())
    else:
        state = begin(Silent())
    click.echo(f"{name}\t{state.address}" if state.address else name)
    if state.address:
        from builder.cli.containers.network import tell_notices
        from builder.runtime.record.container import load

        tell_notices(places, load(places, name))


def settle_schedule(places: Places) -> None:
    """Write or remove the timer that makes snapshots, and tell of it."""
    from builder.host.units import systemd_of
    from builder.runtime.history import schedule

    if told := schedule.settle(places, systemd_of(places)):
        click.echo(told, err=True)


def settle_backups(places: Places) -> None:
    """Write or remove the timer that makes backups, and tell of it."""
    from builder.host.units import systemd_of
    from builder.runtime.backup import schedule

    if told := schedule.settle(places, systemd_of(places)):
        click.echo(told, err=True)


def settle_volumes(places: Places, gone: "Container", *, remove: bool) -> None:
    """Remove an instance's volumes, or tell where the data of one that is gone stays."""
    from builder.runtime.lifecycle import keeping

    kept = keeping.own_names(gone)
    if remove and kept:
        removed, used = keeping.drop(places, gone)
        for name in removed:
            click.echo(f"removed the volume `{name}`", err=True)
        for name in used:
            click.echo(f"the volume `{name}` stays: another container uses it", err=True)
    elif kept:
        click.echo(
            f"kept: {', '.join(f'`{name}`' for name in kept)}; `oven run {gone.template_name}"
            f" --name {gone.name}` uses that again, `oven volume rm {' '.join(kept)}` removes it",
            err=True,
        )


def _each(names: "list[str] | tuple[str, ...]", work: Callable[[str], None]) -> int:
    """Do it to each, several at a time; one that fails does not keep the others from it."""
    if len(names) == 1:
        work(names[0])
        return 0
    return _every(names, work)


def _every(names: "list[str] | tuple[str, ...]", work: Callable[[str], None]) -> int:
    """Do it to each, and raise nothing: others come after these."""
    from builder.cli.terminal.outcome import told
    from builder.host.process.forks import for_each

    processors = len(os.sched_getaffinity(0))
    return for_each(names, lambda name: told(lambda: work(name)), at_once=2 * processors)


def _in_turn(names: Iterable[str], work: Callable[[str], None]) -> int:
    """Do it to one after the other; one that fails does not keep the others from it."""
    from builder.cli.terminal.outcome import told

    worst = 0
    for name in names:
        code = told(lambda name=name: work(name))  # type: ignore[misc]
        if code in _ASKED_TO_END:
            return code
        worst = worst or code
    return worst


def _confirm(question: str) -> None:
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        raise KeyboardInterrupt from None


def _check_names(names: tuple[str, ...], *, instead: bool, option: str) -> None:
    if bool(names) == instead:
        raise RecipeError(f"give the names of containers, or `{option}`")
