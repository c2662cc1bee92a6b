"""Text that is not TOML, or not even text."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import RecipeError
from builder.model.toml.source import source_of_bytes
from tests.support.builds.mistakes import cases, complaint

SLIPS = cases(
    r"""
=== syntax bare
[template]
name = mine
---
error: this is not TOML: invalid value
  --> r.toml:2:8
  |
2 | name = mine
  |        ^^^^
hint: text stands in quotes: `"mine"`

=== syntax True
<good>
[packages]
recommends = True
---
error: this is not TOML: invalid value
  --> r.toml:7:14
  |
7 | recommends = True
  |              ^^^^
hint: write `true`

=== syntax open string
[template]
name = "mine
---
error: this is not TOML: a string has no closing quote
  --> r.toml:2:13
  |
2 | name = "mine
  |             ^
hint: a string ends on the line that it starts on

=== syntax no eq
[template]
name "mine"
---
error: this is not TOML: expected '=' after a key in a key/value pair
  --> r.toml:2:6
  |
2 | name "mine"
  |      ^

=== syntax open array
<good>
[packages]
install = ["a",
---
error: this is not TOML: the file ends in the middle of something
  --> r.toml:7:16
  |
7 | install = ["a",
  |                ^
hint: look for a `]`, a `}` or a quote that is missing

=== syntax bracket
[template
name = "x"
---
error: this is not TOML: expected ']' at the end of a table declaration
  --> r.toml:1:10
  |
1 | [template
  |          ^

=== twice key
[template]
name = "x"
name = "y"
---
error: the key `name` is there already
  --> r.toml:3:1
  |
3 | name = "y"
  | ^^^^
hint: keep one of the two keys
"""
)


@pytest.mark.parametrize(("text", "expected"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_shown_where_it_is(text: str, expected: str) -> None:
    assert complaint(text) == expected


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(RecipeError) as caught:
        source_of_bytes(b'[template]\nname = "\xc3\xa9\xe9"\n', Path("r.toml"))
    assert (
        render(caught.value)
        == """\
error: this is not UTF-8 text: byte 0xe9
  --> r.toml:2:10
  |
2 | name = "é\N{REPLACEMENT CHARACTER}"
  |          ^
hint: save the file as UTF-8
"""
    )
