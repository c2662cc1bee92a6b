"""Options that answer the parameters of an appliance: `--set` and `--answers`."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builder.model.errors import RecipeError
from builder.model.interface import Interface, Json, Parameter

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from builder.appliance.answers import Stack
    from builder.appliance.make import Who
    from builder.cli.containers.options.groups import Decorator
    from builder.model.instance import Instance
    from builder.templates.local import Template


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "--answers",
            metavar="FILE",
            multiple=True,
            help="Answer parameters by a TOML file; the last one counts.",
        ),
        click.option(
            "--set",
            "assignments",
            metavar="NAME=VALUE",
            multiple=True,
            shell_complete=_complete,
            help="Answer one parameter, before all files.",
        ),
    )


def refuse(given: Mapping[str, object]) -> None:
    """Refuse answers where there is no instance to have them."""
    if any(given.get(name) for name in ("answers", "assignments", "secrets_file")):
        raise RecipeError(
            "a single command is no instance, and has no answers",
            hint="leave out `-- CMD`, or the answers",
        )


def stack(
    interface: Interface, given: Mapping[str, object], kept: Mapping[str, Json] | None = None
) -> "Stack":
    """Collect all answers; RecipeError for what cannot be read or answers nothing."""
    from pathlib import Path

    from builder.appliance.answers import gather
    from builder.host import notices
    from builder.recipes.reading import read_source

    assignments = _words(given, "assignments")
    for name in dict.fromkeys(word.partition("=")[0] for word in assignments):
        if name in interface.parameters and interface.parameters[name].secret:
            notices.tell(
                f"`--set {name}=…` can be seen by everybody in `ps` while this runs: a file of"
                " `--answers` that only you can read keeps a secret"
            )
    return gather(
        interface,
        options=assignments,
        files=[read_source(Path(file)) for file in _words(given, "answers")],
        environment=os.environ,
        kept=kept,
    )


def instance_of(
    template: "Template", given: Mapping[str, object], who: "Who"
) -> "tuple[Instance, Interface]":
    """Make the instance of a new container; RecipeError for a template that asks for nothing."""
    if not template.asks:
        raise RecipeError(
            f"the template `{template.name}` has no parameters",
            hint=f"`oven appliance show {template.name}` shows what it asks for",
        )
    from builder.appliance.answers import chosen
    from builder.runtime.bundle.remake import remade

    interface = template.manifest.interface
    return remade(template, who, None, chosen(stack(interface, given))), interface


def _words(given: Mapping[str, object], name: str) -> Sequence[str]:
    found = given.get(name) or ()
    assert isinstance(found, tuple)  # as click gives what may come several times
    return found


def _complete(
    context: "click.Context", _: "click.Parameter", incomplete: str
) -> "list[CompletionItem]":
    """Offer the parameters of the template or appliance that is named already."""
    from click.shell_completion import CompletionItem

    for word in _typed(context):
        known = _parameters(word)
        if known is not None:
            return [
                CompletionItem(f"{key}=", help=one.title)
                for key, one in known.items()
                if key.startswith(incomplete)
            ]
    return []


def _typed(context: "click.Context") -> list[str]:
    """Give what was typed after the verb; click has dropped it, since `--set` lacks its value."""
    from click.shell_completion import split_arg_string

    typed = split_arg_string(os.environ.get("COMP_WORDS", ""))
    after = typed[len(context.command_path.split()) :]
    return [word for word in after if not word.startswith("-")]


def _parameters(name: str) -> Mapping[str, Parameter] | None:
    from builder.cli.containers.subject import find
    from builder.model.errors import OvenError

    try:
        return find(name).interface.parameters
    except OvenError:
        return None
