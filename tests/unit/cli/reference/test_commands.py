"""Every command and option is in the reference of commands once, and `--help` says what it does."""

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from builder.cli.app import VERBS, oven
from builder.cli.reference.commands import SHARED, commands_page, places_of, table_of
from tests.support.oven import CHECKOUT

PAGE = (CHECKOUT / "docs/reference/commands.md").read_text(encoding="utf-8")
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


def options_of(command: click.Command) -> list[click.Option]:
    options = [one for one in command.params if isinstance(one, click.Option)]
    return [one for one in options if not EVERYWHERE & set(one.opts)]


COMMANDS = dict(commands())
OPTIONS = {
    f"{name} {one.opts[-1]}": (name, one)
    for name, command in COMMANDS.items()
    for one in options_of(command)
}


def section(heading: str) -> str:
    """Give what stands below a heading, to the next one."""
    found = re.findall(rf"^###? {heading}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{heading} is there {len(found)} times"
    return str(found[0])


def rows(name: str) -> list[str]:
    """Give the rows of tables that tell of a command, also those that its section links to."""
    verb, _, child = name.partition(" ")
    said = section(f"`oven {verb}`")
    for link in re.findall(r"\[([a-z ]+)\]\(#[a-z-]+\)", table_of(f"oven {verb}")):
        said += section(link.capitalize())
    lines = [line for line in said.splitlines() if line.startswith("| `-")]
    return [line for line in lines if not child or f"`{child}`" in line.split(" | ")[1]]


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_described(name: str) -> None:
    """A verb has a section with words of its own and a table; a verb of a group has a row."""
    verb, _, child = name.partition(" ")
    said = section(f"`oven {verb}`")
    words, _, table = said.partition(f"<!-- table: oven {verb} -->")
    if child:
        assert re.search(rf"^\| `oven {name}\b.*` \| \w.*\. \|$", table, re.MULTILINE)
    else:
        assert re.search(r"\w\.|\)\.", words)
        assert re.search(rf"`oven {verb}\b", table)


def test_nothing_else_is_there() -> None:
    expected = {"oven", *SHARED, *(f"oven {verb}" for verb in VERBS)}
    assert sorted(places_of(PAGE)) == sorted(expected)


@pytest.mark.parametrize(("name", "option"), OPTIONS.values(), ids=OPTIONS)
def test_the_option_is_there_once_and_no_hidden_one_is(name: str, option: click.Option) -> None:
    found = [one for one in rows(name) if _typed(one) >= {*option.opts, *option.secondary_opts}]
    assert len(found) == (0 if option.hidden else 1)
    for row in found:
        assert ("...` |" in row) == option.multiple


def _typed(row: str) -> set[str]:
    return set(re.findall(r"(?<![\w\[-])--?\w[\w-]*", row.partition("` |")[0]))


SHOWN = {name: one for name, (_, one) in OPTIONS.items() if not one.hidden}


@pytest.mark.parametrize("option", SHOWN.values(), ids=SHOWN)
def test_the_option_has_a_short_help(option: click.Option) -> None:
    assert re.fullmatch(r"[A-Z`].{8,78}\.", option.help or "")


@pytest.mark.parametrize("option", SHOWN.values(), ids=SHOWN)
def test_the_option_says_what_its_value_is(option: click.Option) -> None:
    assert option.is_flag or option.metavar or isinstance(option.type, click.Choice)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_as_wide_as_a_terminal(name: str) -> None:
    shown = CliRunner().invoke(oven, [*name.split(), "--help"], prog_name="oven", terminal_width=80)
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.output.splitlines())) <= 80


def test_words_around_the_tables_stay() -> None:
    page = "before\n<!-- table: oven thaw -->\nold\n<!-- end -->\nafter\n"
    written = commands_page(page)
    assert "old" not in written
    assert "`oven thaw [OPTIONS] NAME...`" in written
    assert written.startswith("before\n<!-- table: oven thaw -->\n")
    assert written.endswith("<!-- end -->\nafter\n")
    assert commands_page(written) == written


def test_a_forgotten_end_costs_no_words() -> None:
    page = "<!-- table: oven thaw -->\nwords\n<!-- table: oven stop -->\n<!-- end -->\n"
    assert "-->\nwords\n<!--" in commands_page(page)
    assert places_of(page) == ["oven stop"]


def test_a_default_is_told_by_the_page_and_by_help() -> None:
    assert "| `-t, --time SECONDS` | Kill what takes longer. Default: `90`. |" in PAGE
    shown = CliRunner().invoke(oven, ["stop", "--help"], prog_name="oven", terminal_width=80)
    assert "[default: 90]" in shown.output
