"""`oven backup`: instances kept elsewhere through restic, and made again from there."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.containers.lifecycle import settle_backups
from builder.cli.containers.network import AS_JSON
from builder.cli.session import places_of
from builder.cli.terminal.table import table
from builder.cli.terminal.verbose import verbose
from builder.host.places import Places

if TYPE_CHECKING:
    from builder.runtime.backup.repository import Repository
    from builder.runtime.backup.restic import Backup

NAME = click.argument("name")
_WHERE = (
    click.option(
        "--repository",
        metavar="WHERE",
        help="A folder, `sftp:…` or `s3:…`; by default what `init` was told.",
    ),
    click.option("--password-file", metavar="FILE", help="What has the repository's password."),
    click.option(
        "--credentials",
        metavar="FILE",
        help="What has `AWS_ACCESS_KEY_ID=…` and the like; by default the environment.",
    ),
    click.option(
        "-o",
        "--option",
        "extended",
        multiple=True,
        metavar="KEY=VALUE",
        help="An extended option of restic's, such as `sftp.command=…`.",
    ),
)
_WHICH = click.option(
    "--snapshot", default="latest", metavar="ID", help="Which backup, as `list` shows it."
)
_TEMPLATE = click.option(
    "--template", default="", metavar="TEMPLATE", help="Stand on this one, not that of the backup."
)


def _where(command: Callable[..., object]) -> Callable[..., object]:
    for option in reversed(_WHERE):
        command = option(command)
    return command


@click.group()
def backup() -> None:
    """Back up instances of appliances elsewhere, and make them again."""


@backup.command()
@NAME
@_where
@verbose
def init(name: str, **given: object) -> None:
    """Say where backups of an instance go; make the repository, and a password where it has none.

    It is remembered for all other commands.
    """
    from builder.cli.terminal.lines import reporter
    from builder.runtime.backup import repository
    from builder.runtime.backup.restic import Restic
    from builder.runtime.record.container import check_name, load

    places = places_of(name)
    load(places, check_name(name))
    if not given.get("repository"):
        raise click.UsageError("say where backups go: `--repository /srv/backups`")
    if not given.get("password_file") and repository.make_password(places):
        click.echo(
            f"made a password in `{repository.own_password(places)}`; keep a copy of it elsewhere:"
            " without it no backup can be read",
            err=True,
        )
    where = _given(places, given)
    with reporter() as report:
        restic = Restic(places, where, report)
        if not restic.exists():
            restic.init()
    before = repository.read(places, name)
    every = before.every if before else None
    plan = repository.BackupPlan(repository=where, every=every)
    repository.write(places, name, plan)
    click.echo(where.url)


@backup.command()
@NAME
@_where
@verbose
def create(name: str, **given: object) -> None:
    """Back up an instance: its volumes, answers and secrets; print the backup's id."""
    from builder.cli.terminal.lines import reporter
    from builder.runtime.backup import create as creating

    places = places_of(name)
    with reporter() as report:
        made = creating.create(places, name, _found(places, name, given), report)
    click.echo(made)


@backup.command(name="list")
@NAME
@_where
@AS_JSON
@verbose
def list_(name: str, as_json: bool, **given: object) -> None:  # noqa: FBT001  # click's way
    """List the backups of an instance, the oldest first."""
    from builder.model.progress import Silent
    from builder.runtime.backup.restic import Restic

    places = places_of(name)
    restic = Restic(places, _found(places, name, given), Silent())
    rows = [_row(one) for one in restic.listed(name)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    cells = [("ID", "CREATED", "TEMPLATE")]
    cells += [(row["id"][:8], row["created"][:19] + "Z", row["template"]) for row in rows]
    click.echo("\n".join(table(cells)))


@backup.command()
@NAME
@click.option("--as", "new", required=True, metavar="NEW", help="The new instance's name.")
@_WHICH
@_TEMPLATE
@_where
@verbose
def restore(name: str, new: str, snapshot: str, template: str, **given: object) -> None:
    """Make a new instance of a backup, here or on another host; it is stopped."""
    from builder.cli.terminal.lines import reporter
    from builder.runtime.backup import restore as restoring

    places = places_of(new)
    wanted = restoring.RestoreRequest(name, new, backup=snapshot, template=template)
    with reporter() as report:
        taken = restoring.restore(places, wanted, _found(places, name, given), report)
    for note in taken.notes:
        click.echo(note, err=True)
    click.echo(taken.container.name)


@backup.command()
@NAME
@_WHICH
@_TEMPLATE
@click.option(
    "--read-data", is_flag=True, help="Read all of the repository, not only what is tried."
)
@_where
@verbose
def verify(name: str, snapshot: str, template: str, read_data: bool, **given: object) -> None:  # noqa: FBT001
    """Try a backup: check the repository, make an instance without network, and ask its health.

    That instance is gone afterwards.
    """
    from builder.cli.terminal.lines import reporter
    from builder.runtime.backup import restore as restoring
    from builder.runtime.backup import verify as verifying

    places = places_of(name)
    wanted = restoring.RestoreRequest(name, name, backup=snapshot, template=template)
    where = _found(places, name, given)
    with reporter() as report:
        done = verifying.verify(places, wanted, where, report, read_data=read_data)
    if not done.probes:
        click.echo("it has started; its template has no probes that would show more", err=True)
    click.echo(done.backup)


@backup.command()
@NAME
@_where
@verbose
def prune(name: str, **given: object) -> None:
    """Remove the backups that the recipe's `[backup]` does not keep."""
    from builder.cli.terminal.lines import reporter
    from builder.runtime.backup import schedule as scheduling

    places = places_of(name)
    with reporter() as report:
        scheduling.prune(places, name, _found(places, name, given), report)


@backup.command()
@NAME
@click.argument("every", metavar="[daily|off]", type=click.Choice(["daily", "off"]), required=False)
@verbose
def schedule(name: str, every: str | None) -> None:
    """Have an instance backed up and its backups pruned each night, or no more."""
    from builder.runtime.backup import repository
    from builder.runtime.backup import schedule as scheduling

    places = places_of(name)
    if every is None:
        click.echo(repository.need(places, name).every or "off")
        return
    scheduling.write(places, name, daily=every == "daily")
    settle_backups(places)


@backup.command()
def due() -> int:
    """Make the backups of all instances that have a schedule; a timer runs this."""
    from builder.cli.terminal.lines import Lines
    from builder.cli.terminal.report import show
    from builder.model.errors import OvenError
    from builder.runtime.backup import schedule as scheduling

    code = 0
    for name, made in scheduling.due(places_of(), Lines()):
        if isinstance(made, OvenError):
            show(made)
            code = code or made.exit_code
        else:
            click.echo(f"{name}\t{made}")
    return code


def _found(places: Places, name: str, given: Mapping[str, object]) -> "Repository":
    """Give the repository that was named, or else what is remembered of the instance."""
    from builder.runtime.backup import repository

    if given.get("repository"):
        return _given(places, given)
    known = repository.need(places, name).repository
    return _given(places, given, known)


def _given(
    places: Places, given: Mapping[str, object], known: "Repository | None" = None
) -> "Repository":
    from builder.runtime.backup import repository

    extended = given.get("extended") or ()
    assert isinstance(extended, tuple)  # as click gives it
    own = known or repository.Repository(url="", password=str(repository.own_password(places)))
    url = given.get("repository")
    return repository.Repository(
        url=repository.parse(str(url)) if url else own.url,
        password=_file(given.get("password_file")) or own.password,
        environment=_file(given.get("credentials")) or own.environment,
        options=tuple(map(str, extended)) or own.options,
    )


def _file(given: object) -> str:
    # The timer has another working folder.
    return os.path.abspath(Path(str(given))) if given else ""  # noqa: PTH100  # links stay


def _row(one: "Backup") -> dict[str, str]:
    return {"id": one.id, "created": one.time, "instance": one.hostname, "template": one.template}
