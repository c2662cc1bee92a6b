"""Every command and option is in the reference of commands, and nothing else is."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from builder.cli.app import VERBS, oven

TEXT = (Path(__file__).parents[2] / "docs/reference/commands.md").read_text(encoding="utf-8")
EVERYWHERE = {"--help", "--verbose"}


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(oven)
    for verb in VERBS:
        command = oven.get_command(context, verb)
        assert command is not None
        yield verb, command
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                yield f"{verb} {name}", child


def section(verb: str) -> str:
    """Give what is said about a verb: from a heading that names it to the next one."""
    for part in re.split(r"^##+ ", TEXT, flags=re.MULTILINE):
        heading, _, said = part.partition("\n")
        if re.search(rf"`oven {verb}\b", heading):
            return heading + said
    return ""


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_it_is_described(name: str) -> None:
    verb, _, child = name.partition(" ")
    assert child in section(verb)


OPTIONS = {
    f"{name} {' '.join(option.opts)}": (name, option.opts)
    for name, command in commands()
    for option in command.params
    if isinstance(option, click.Option) and not EVERYWHERE & set(option.opts)
}


@pytest.mark.parametrize(("name", "names"), OPTIONS.values(), ids=OPTIONS)
def test_the_option_is_described(name: str, names: list[str]) -> None:
    said = section(name.partition(" ")[0])
    # `create` and `exec` take those of `run`, and say so.
    if "options of `run`" in said or "as `run` does" in said:
        said += section("run")
    assert any(re.search(rf"(?<![\w-]){one}\b", said) for one in names)
