"""The tables of the page on commands, written from the commands into what people write around them.

Where a table is to be, the page has a line `<!-- table: NAME -->` and below it `<!-- end -->`; what
is between them is written anew. NAME is `oven`, `oven VERB`, or a key of `SHARED`.
"""

import re
from collections.abc import Callable, Iterable

import click

from builder.cli.app import oven
from builder.cli.containers.options import (
    first_boot,
    life,
    limits,
    network,
    storage,
    with_options,
)
from builder.cli.containers.options.inside import inside

_PLACE = re.compile(
    # Where the end was forgotten, what people wrote up to the next table is left alone.
    r"(<!-- table: ([\w ]+) -->\n)(?:(?!<!-- table: ).)*?(<!-- end -->\n)",
    re.DOTALL,
)
_EVERYWHERE = frozenset({"--verbose"})
"""What the page says once, for all commands."""


def _options_of(add: Callable[[Callable[..., object]], object]) -> tuple[click.Option, ...]:
    def nothing() -> None:
        """Carry options."""

    add(nothing)
    return _shown(click.command()(nothing))


def _shown(command: click.Command) -> tuple[click.Option, ...]:
    options = (one for one in command.params if isinstance(one, click.Option))
    return tuple(one for one in options if not (one.hidden or _EVERYWHERE & set(one.opts)))


SHARED = {
    "a command inside": _options_of(inside),
    "network": _options_of(with_options(network)),
    "limits": _options_of(with_options(limits)),
    "storage": _options_of(with_options(storage)),
    "life": _options_of(with_options(life)),
    "first boot": _options_of(with_options(first_boot)),
}
"""Options of several commands, by the heading that their one table has on the page."""


def commands_page(page: str) -> str:
    """Write all tables of the page anew."""
    return _PLACE.sub(lambda place: f"{place[1]}{table_of(place[2])}{place[3]}", page)


def places_of(page: str) -> list[str]:
    """Name the tables that a page has, in their order."""
    return [name for _, name, _ in _PLACE.findall(page)]


def table_of(name: str) -> str:
    """Write what stands in one place of the page."""
    context = click.Context(oven, info_name="oven", **oven.context_settings)
    if name in SHARED:
        return f"{_options(SHARED[name])}\n"
    if name == "oven":
        return f"{_options(oven.get_params(context))}\n"
    verb = name.removeprefix("oven ")
    command = oven.get_command(context, verb)
    if command is None:
        raise ValueError(f"there is nothing called `{name}` that a table could be of")
    below = click.Context(command, info_name=verb, parent=context)
    return _of_group(command, below) if isinstance(command, click.Group) else _of_verb(below)


def _of_verb(context: click.Context) -> str:
    """Write how a verb is called, its own options, and where those are that others have too."""
    shown = _shown(context.command)
    words = {word for one in shown for word in one.opts}
    taken = {
        name: options
        for name, options in SHARED.items()
        if all(set(one.opts) <= words for one in options)
    }
    elsewhere = {word for options in taken.values() for one in options for word in one.opts}
    own = [one for one in shown if not elsewhere & set(one.opts)]
    links = [f"[{name}](#{name.replace(' ', '-')})" for name in taken]
    also = f"\nIt also takes the options for {_and(links)}.\n" if links else ""
    return f"\n`{_usage(context)}`\n{_options(own) if own else ''}{also}\n"


def _of_group(group: click.Group, context: click.Context) -> str:
    """Write what the commands of a group do, and what options they have."""
    calls: list[tuple[str, ...]] = []
    rows: dict[tuple[str, str], list[str]] = {}
    for name, command in group.commands.items():
        usage = _usage(click.Context(command, info_name=name, parent=context))
        calls.append((_code(usage.replace(" [OPTIONS]", "")), _cell(command.help or "")))
        for one in _shown(command):
            rows.setdefault((_words(one), _meaning(one)), []).append(f"`{name}`")
    options = [(words, ", ".join(names), meaning) for (words, meaning), names in rows.items()]
    return _table(("command",), calls) + _table(("option", "of"), options) + "\n"


def _usage(context: click.Context) -> str:
    return " ".join((context.command_path, *context.command.collect_usage_pieces(context)))


def _options(options: Iterable[click.Parameter]) -> str:
    return _table(("option",), ((_words(one), _meaning(one)) for one in options))


def _words(option: click.Parameter) -> str:
    """Write an option as it is typed."""
    assert isinstance(option, click.Option)  # arguments stand in the usage
    short_first = sorted(option.opts, key=len)  # click gives those of its own in any order
    words = ", ".join((*short_first, *option.secondary_opts))
    if not option.is_flag:
        words += f" {option.metavar or _choices(option)}"
    return _code(words + (" ..." if option.multiple else ""))


def _choices(option: click.Option) -> str:
    if not isinstance(option.type, click.Choice):
        raise TypeError(f"`{option.opts[-1]}` says nothing of its value: give it a metavar")
    return "|".join(map(str, option.type.choices))


def _meaning(option: click.Parameter) -> str:
    """Give the help of an option, with the default as `--help` has it."""
    assert isinstance(option, click.Option)  # as above
    text = _cell(option.help or "")
    if option.is_flag or not isinstance(option.default, str | int | float):
        return text
    return f"{text} Default: `{option.default}`."


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    heads = (*columns, "meaning")
    lines = (f"| {' | '.join(row)} |\n" for row in (heads, *rows))
    head = next(lines)
    return f"\n{head}|{'---|' * len(heads)}\n{''.join(lines)}"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
