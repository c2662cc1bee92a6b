"""Every kind of mistake in a recipe, and the very words that its author reads."""

from pathlib import Path

import pytest

from builder.model.recipe import Arch, Recipe
from builder.model.toml.decode import decode
from tests.support.builds.mistakes import GOOD, cases, complaint, refused

MISTAKES = cases(
    r"""
=== wrong type str
[template]
name = 12
---
error: `name` must be a string, not an integer
  --> r.toml:2:8
  |
2 | name = 12
  |        ^^
hint: write `"12"`

=== wrong type arr
<good>
[packages]
install = "nginx"
---
error: `install` must be an array, not a string
  --> r.toml:7:11
  |
7 | install = "nginx"
  |           ^^^^^^^
hint: write `["nginx"]`

=== table for array
<good>
[user]
name="a"
---
error: `user` must be an array, not a table
  --> r.toml:6:2
  |
6 | [user]
  |  ^^^^
hint: write `[[user]]`

=== array for table
[[template]]
name="a"
---
error: `template` must be a table, not an array
  --> r.toml:1:3
  |
1 | [[template]]
  |   ^^^^^^^^
hint: write `[template]`

=== bool
<good>
[packages]
recommends = "yes"
---
error: `recommends` must be a boolean, not a string
  --> r.toml:7:14
  |
7 | recommends = "yes"
  |              ^^^^^

=== no language
<good>
[packages]
languages = ["german"]
---
error: `german` is not a language
  --> r.toml:7:14
  |
7 | languages = ["german"]
  |              ^^^^^^^^
hint: as gettext has it: `de`, `pt_BR`, `sr@latin`

=== item type
<good>
[packages]
install = [
  "a1",
  3,
]
---
error: an item of `install` must be a string, not an integer
  --> r.toml:9:3
  |
9 |   3,
  |   ^
hint: write `"3"`

=== union
<good>
[parameters.a]
default = 2026-01-01
---
error: `default` must be a boolean, an integer, a float, a string, a table or an array, not a date
  --> r.toml:7:11
  |
7 | default = 2026-01-01
  |           ^^^^^^^^^^

=== range
<good>
[[user]]
name="a"
uid = 70000
---
error: `uid` must be at most 59999
  --> r.toml:8:7
  |
8 | uid = 70000
  |       ^^^^^

=== pattern
<good>
[packages]
install = ["curl", "ngin*"]
---
error: `ngin*` is not a package to install
  --> r.toml:7:20
  |
7 | install = ["curl", "ngin*"]
  |                    ^^^^^^^
hint: letters, digits, `+-._`; apt: `nginx=1*`, `nginx/SUITE`, `libc6:i386`, `shop^`; dnf: `@group`

=== pattern nl
[template]
name = "x\n"
---
error: `x\n` is not a template name
  --> r.toml:2:8
  |
2 | name = "x\n"
  |        ^^^^^
hint: lower case letters, digits, dots and dashes, at most 63

=== unit
<good>
[services]
enable = ["nginx"]
---
error: `nginx` is not a systemd unit name
  --> r.toml:7:11
  |
7 | enable = ["nginx"]
  |           ^^^^^^^
hint: with its suffix: `nginx.service`

=== arch
[template]
name = "x"
[base]
distro="debian"
suite="sid"
arch = ["amd64", "arm46"]
---
error: unknown arch `arm46`
  --> r.toml:6:18
  |
6 | arch = ["amd64", "arm46"]
  |                  ^^^^^^^
hint: did you mean `arm64`?

=== no arch
[template]
name = "x"
[base]
distro="debian"
suite="sid"
arch = []
---
error: `arch` must have at least 1 item
  --> r.toml:6:8
  |
6 | arch = []
  |        ^^

=== param name
<good>
[parameters.Title]
default = 1
---
error: `Title` is not a parameter name
  --> r.toml:6:13
  |
6 | [parameters.Title]
  |             ^^^^^
hint: lower case letters, digits and `_`, a letter first

=== script path
<good>
[[script]]
path = "../x"
---
error: `../x` is not a path below the recipe's folder
  --> r.toml:7:8
  |
7 | path = "../x"
  |        ^^^^^^
hint: relative, and without `..`

=== protocol
<good>
[[port]]
port=1
protocol="icmp"
---
error: `icmp` is not a protocol
  --> r.toml:8:10
  |
8 | protocol="icmp"
  |          ^^^^^^
hint: one of `tcp` and `udp`

=== param scalar
<good>
[parameters]
title = "x"
---
error: `title` must be a table, not a string
  --> r.toml:7:9
  |
7 | title = "x"
  |         ^^^
hint: write `{ default = "x" }`

=== from path
from = "../x.toml"
[template]
name = "x"
---
error: `../x.toml` is not a template name
  --> r.toml:1:8
  |
1 | from = "../x.toml"
  |        ^^^^^^^^^^^
hint: lower case letters, digits, dots and dashes, at most 63
"""
)


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_shown_where_it_stands(text: str, expected: str) -> None:
    assert complaint(text) == expected


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ("", "the table `[template]` is missing", (1, 1)),
        ('[template]\nname = "x"\n', "a recipe needs `[base]` or `from`", (1, 1)),
        (f'from = "a"\n{GOOD}', "a recipe has either `[base]` or `from`, not both", (1, 1)),
        (
            GOOD.replace("[base]", 'summary = "a"\nsummary = """a\nb"""\n[base]'),
            "the key of the value that ends here is there already",
            (5, 1),
        ),
        (GOOD + GOOD, "the table `template` is there already", (6, 1)),
        (f"{GOOD}[[port]]\nport = 0\n", "`port` must be at least 1", (7, 8)),
        (f"{GOOD}arch = ['vax']\n", "unknown arch `vax`", (6, 9)),
        (f"{GOOD}\tname\t= 1\n", "unknown key `name`", (6, 2)),
        (f"{GOOD}[parameters]\nok.default = 1\n'a b'.default = 2", "`a b` is not a", (8, 1)),
        ("a = " + "1" * 5000, "this is not TOML: a number is too long", None),
        ("a = " + "[" * 5000 + "]" * 5000, "arrays or tables are nested too deeply", None),
    ],
)
def test_problem_and_place(text: str, problem: str, place: tuple[int, int] | None) -> None:
    at = refused(text, problem).at
    assert at is not None
    assert at.line == (place[0] if place else None)
    assert at.column == (place[1] if place else 1)


def test_a_good_recipe_is_decoded() -> None:
    text = (
        GOOD
        + """\
arch = ["arm64"]
[packages]
install = ["g++", "nginx"]
[[user]]
name = "admin"
ssh-keys = ["ssh-ed25519 AAAA admin"]
[parameters]
title = { default = "Hello" }
size.default = 3
"""
    )
    recipe = decode(text, Path("r.toml"), Recipe)
    assert recipe.base is not None
    assert recipe.base.arch == (Arch.ARM64,)
    assert recipe.packages.install == ("g++", "nginx")
    assert recipe.user[0].ssh_keys == ("ssh-ed25519 AAAA admin",)
    assert recipe.parameters["title"].default == "Hello"
    assert recipe.parameters["size"].default == 3
    assert recipe.system is None
