"""Answers as they are given on a command line: `--set` and `--answers`, and the environment."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.model.interface import Interface, Json, Parameter

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from builder.appliance.answers import Stack

Command = TypeVar("Command", bound=Callable[..., Any])


def _complete(
    context: click.Context, _: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Offer the parameters of the template or appliance that is named already."""
    from click.shell_completion import CompletionItem

    for word in _words(context):
        known = _parameters(word)
        if known is not None:
            return [
                CompletionItem(f"{key}=", help=one.title)
                for key, one in known.items()
                if key.startswith(incomplete)
            ]
    return []


def _words(context: click.Context) -> list[str]:
    """Give what was typed after the verb; click has dropped it, since `--set` lacks its value."""
    from click.shell_completion import split_arg_string

    typed = split_arg_string(os.environ.get("COMP_WORDS", ""))
    after = typed[len(context.command_path.split()) :]
    return [word for word in after if not word.startswith("-")]


def _parameters(name: str) -> "Mapping[str, Parameter] | None":
    from builder.cli.appliances.subject import find
    from builder.model.errors import OvenError

    try:
        return find(name).interface.parameters
    except OvenError:
        return None


def answers(command: Command) -> Command:
    """Give a command the options that answer parameters."""
    files = click.option(
        "--answers",
        "files",
        metavar="FILE",
        multiple=True,
        type=click.Path(),
        help="Answer parameters by a TOML file; the last one counts.",
    )
    options = click.option(
        "--set",
        "options",
        metavar="NAME=VALUE",
        multiple=True,
        shell_complete=_complete,
        help="Answer one parameter, before all files.",
    )
    return files(options(command))


def stack(
    interface: Interface,
    files: Sequence[str],
    options: Sequence[str],
    kept: Mapping[str, Json] | None = None,
) -> "Stack":
    """Collect all answers; RecipeError for what cannot be read or answers nothing."""
    from pathlib import Path

    from builder.appliance.answers import gather
    from builder.recipes.reading import read_source

    return gather(
        interface,
        options=options,
        files=[read_source(Path(file)) for file in files],
        environment=os.environ,
        kept=kept,
    )
