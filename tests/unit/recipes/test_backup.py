"""Backups of recipes: what can be said, and how layers join."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.backup import USUAL, BackupCommand, Retention
from builder.model.errors import RecipeError
from builder.recipes.interface import interface_of
from builder.recipes.load import load_file
from tests.support.recipes import BASE, HEAD, write

VOLUME = '[[volume]]\nname = "data"\npath = "/var/lib/a"\n'
SCRATCH = VOLUME.replace("path", "backup = false\npath")


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("[backup]\nbefor = []\n", "unknown key `befor`", 7),
        ('[backup]\nbefore = ["dump"]\n', "before", 7),
        ("[backup]\nbefore = [{ command = [] }]\n", "command", 7),
        ('[backup]\nbefore = [{ command = [""] }]\n', "the command has no program", 7),
        ('[backup]\nafter = [{ command = ["a"], timeout = "5" }]\n', "`5` is not a span", 7),
        ("[backup]\nkeep = { daily = -1 }\n", "daily", 7),
        ("[backup]\nkeep = { dayly = 1 }\n", "unknown key `dayly`", 7),
        ("[backup]\nkeep = { daily = 0 }\n", "no backup at all would be kept", 7),
        ('[backup]\nexclude = ["a"]\n', "`a` is not an absolute path", 7),
        ('[backup]\nexclude = ["/var/lib/a/../b"]\n', "is not an absolute path", 7),
        ('[backup]\nexclude = ["/var/lib/a/x"]\n', "is in no volume that is backed up", 7),
        (f'{SCRATCH}[backup]\nexclude = ["/var/lib/a/x"]\n', "is in no volume", 11),
        (f'{VOLUME}[backup]\nexclude = ["/var/lib/a/x", "/var/lib/ab"]\n', "`/var/lib/ab`", 10),
        (f'{VOLUME}[backup]\nexclude = ["/var/lib/a"]\n', "`/var/lib/a` is in no volume", 10),
    ],
)
def test_a_mistake_is_shown_where_it_stands(
    tmp_path: Path, text: str, said: str, line: int
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_file(write(tmp_path, "a", HEAD.format(name="a") + BASE + text))
    shown = render(caught.value)
    assert said in shown
    assert f"a.toml:{line}:" in shown


def test_layers_join(tmp_path: Path) -> None:
    below = (
        f'{VOLUME}[backup]\nbefore = [{{ command = ["one"] }}]\nkeep = {{ daily = 3 }}\n'
        'exclude = ["/var/lib/a/x"]\n'
    )
    write(tmp_path, "a", HEAD.format(name="a") + BASE + below)
    above = (
        'from = "a"\n[template]\nname = "b"\n[backup]\nexclude = ["/var/lib/a/y"]\n'
        'before = [{ command = ["two"], timeout = "1h" }]\n'
    )
    made = interface_of(load_file(write(tmp_path, "b", above))).backup
    assert made.before == (
        BackupCommand(command=("one",)),
        BackupCommand(command=("two",), timeout="1h"),
    )
    assert made.before[1].limit == 3600
    assert made.exclude == ("/var/lib/a/x", "/var/lib/a/y")
    assert made.keep == Retention(daily=3)


def test_what_is_kept_is_said_in_restic_s_words() -> None:
    assert USUAL.words() == (
        "--keep-daily", "7", "--keep-weekly", "4", "--keep-monthly", "12",
    )  # fmt: skip
