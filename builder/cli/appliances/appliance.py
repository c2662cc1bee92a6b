"""`oven appliance`: what an appliance may be asked, and what answers come to."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.appliances.configure import rotate
from builder.cli.containers.options import answers, with_options
from builder.cli.containers.options.answers import stack
from builder.cli.terminal.table import table

if TYPE_CHECKING:
    from builder.appliance.answers import Given
    from builder.cli.containers.subject import Subject
    from builder.model.interface import Parameter

MASK = "(secret)"


@click.group()
def appliance() -> None:
    """Show what appliances may be asked, and answer it."""


appliance.add_command(rotate)


@appliance.command()
@click.argument("name", metavar="APPLIANCE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show an appliance's parameters, secrets, probes and ports."""
    from builder.cli.containers.subject import find

    subject = find(name)
    if as_json:
        click.echo(json.dumps(_facts(subject), indent=2))
        return
    for line in _lines(subject):
        click.echo(line)


@appliance.command()
@click.argument("name", metavar="APPLIANCE")
def schema(name: str) -> None:
    """Print the JSON Schema of its answers, for editors and other tools."""
    from builder.appliance.schema import document
    from builder.cli.containers.subject import find

    subject = find(name)
    click.echo(json.dumps(document(subject.name, subject.interface), indent=2))


@appliance.command()
@click.argument("name", metavar="INSTANCE|APPLIANCE")
@with_options(answers)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(name: str, as_json: bool, **given: object) -> None:  # noqa: FBT001  # click's way
    """Say of each parameter which value counts, and who gave it.

    --set counts before files, these before variables OVEN_ANSWER_NAME of the environment, these
    before what an instance was answered before, and that before defaults. All answers are checked.
    """
    from builder.appliance.answers import chosen
    from builder.appliance.settled import settle
    from builder.cli.containers.subject import find, find_instance

    subject = find_instance(name) or find(name)
    interface = subject.interface
    found = chosen(stack(interface, given, subject.kept))
    settled = settle(interface, found)
    rows = [
        (key, *_told(one, found.get(key)), "required" if key in settled.missing else "")
        for key, one in interface.parameters.items()
    ]
    if as_json:
        keys = ("parameter", "value", "from", "missing")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    for line in table(rows):
        click.echo(line)


@appliance.command()
@click.argument("name", metavar="APPLIANCE")
@with_options(answers)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="answers.toml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the answers are written.",
)
def ask(name: str, output: Path, **given: object) -> None:
    """Ask for the answers that are required, and write them to a file.

    On a terminal this is a form, which checks while you type.
    """
    from builder.cli.appliances.form import fill, write
    from builder.cli.containers.subject import find

    subject = find(name)
    write(output, subject, fill(subject, stack(subject.interface, given)))
    click.echo(f"wrote {output}; `oven run {name} --answers {output}` uses it", err=True)


def _told(parameter: "Parameter", given: "Given | None") -> tuple[str, str]:
    from builder.appliance.answers import Origin, shown

    if given is None:
        return "", (Origin.GENERATED if parameter.generate else Origin.NOBODY).value
    value = MASK if parameter.secret else shown(given.value)
    place = given.place()
    where = given.said.partition("=")[0] or (str(place.path) if place else given.origin.value)
    return value, where


def _facts(subject: "Subject") -> dict[str, object]:
    import msgspec

    facts: dict[str, object] = msgspec.to_builtins(subject.interface)
    ports = msgspec.to_builtins(subject.ports)
    return {"name": subject.name, "summary": subject.summary, **facts, "ports": ports}


def _lines(subject: "Subject") -> Iterator[str]:
    yield f"{subject.name}: {subject.summary}" if subject.summary else subject.name
    parts: dict[str, Sequence[Sequence[str]]] = {
        "parameters": [(key, *_row(one)) for key, one in subject.interface.parameters.items()],
        "secrets": [(key, one.kind, one.title) for key, one in subject.interface.secrets.items()],
        "health": [(one.name, one.kind, one.level) for one in subject.interface.health],
        "ports": [(f"{one.port}/{one.protocol}", one.summary) for one in subject.ports],
    }
    for title, rows in parts.items():
        if rows:
            yield ""
            yield title
            yield from (f"  {line}" for line in table(rows))


def _row(parameter: "Parameter") -> tuple[str, str, str]:
    from builder.appliance.schema import type_of

    return type_of(parameter), _standing(parameter), parameter.title


def _standing(parameter: "Parameter") -> str:
    """Say what holds when nobody answers."""
    import msgspec

    from builder.appliance.answers import shown

    if parameter.default is not msgspec.UNSET:
        return shown(parameter.default) or '""'
    if parameter.generate:
        return f"a {parameter.generate} is made"
    return "required" if parameter.when is None else f"required when {parameter.when}"
