"""What a recipe must obey beyond its types, and names and paths that could do harm."""

from pathlib import Path

import pytest

from builder.distros import SUITES
from builder.model.errors import RecipeError
from builder.model.recipe import Recipe
from builder.model.toml.decode import decode_source
from builder.model.toml.source import source_of
from builder.recipes import rules
from tests.support.builds.mistakes import GOOD, cases, complaint, read

BROKEN = cases(
    r"""
=== distro
[template]
name = "x"
[base]
distro="debain"
suite="sid"
---
error: unknown distro `debain`
  --> r.toml:4:8
  |
4 | distro="debain"
  |        ^^^^^^^^
hint: did you mean `debian`?

=== suite
[template]
name = "x"
[base]
distro="debian"
suite="bokworm"
---
error: unknown suite `bokworm`
  --> r.toml:5:7
  |
5 | suite="bokworm"
  |       ^^^^^^^^^
hint: did you mean `bookworm`?

=== a language twice
<good>
[packages]
languages = ["de", "de"]
---
error: `de` is there twice
  --> r.toml:7:20
  |
7 | languages = ["de", "de"]
  |                    ^^^^
hint: take this one out; the first is in line 7

=== backports
[template]
name = "x"
[base]
distro="debian"
suite="bookworm-backports"
---
error: `bookworm-backports` is a part of the suite `bookworm`, not one to build from
  --> r.toml:5:7
  |
5 | suite="bookworm-backports"
  |       ^^^^^^^^^^^^^^^^^^^^
hint: write `suite = "bookworm"`; its security and updates parts are always used

=== stable
[template]
name = "x"
[base]
distro="debian"
suite="stable"
---
error: `stable` is not a suite's code name
  --> r.toml:5:7
  |
5 | suite="stable"
  |       ^^^^^^^^
hint: write `suite = "trixie"`

=== dup pkg
<good>
[packages]
install = [
  "curl",
  "less",
  "curl",
]
---
error: `curl` is there twice
   --> r.toml:10:3
   |
10 |   "curl",
   |   ^^^^^^
hint: take this one out; the first is in line 8

=== dup user
<good>
[[user]]
name="a"
[[user]]
name="a"
---
error: `a` is there twice
  --> r.toml:9:6
  |
9 | name="a"
  |      ^^^
hint: take this one out; the first is in line 7

=== dup port
<good>
[[port]]
port=80
[[port]]
port=80
protocol="udp"
[[port]]
port=80
---
error: `80/tcp` is there twice
   --> r.toml:12:6
   |
12 | port=80
   |      ^^
hint: take this one out; the first is in line 7

=== contradiction
<good>
[services]
enable=["a.service"]
mask=["a.service"]
---
error: `a.service` is in both `enable` and `mask`
  --> r.toml:7:9
  |
7 | enable=["a.service"]
  |         ^^^^^^^^^^^
hint: keep it in one of the two
"""
)


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_shown_where_it_is_broken(text: str, expected: str) -> None:
    assert complaint(text) == expected


def test_unknown_distro_names_those_that_are_known() -> None:
    text = GOOD.replace("debian", "plan9")
    source = source_of(text, Path("r.toml"))
    recipe = decode_source(source, Recipe)
    with pytest.raises(RecipeError) as caught:
        rules.check(recipe, source, suites=SUITES)
    assert caught.value.hint == f"known: {', '.join(SUITES)}"
    rules.check(recipe, source, suites={"plan9": ("bookworm",)})


def test_the_same_port_may_serve_two_protocols() -> None:
    ports = '[[port]]\nport = 53\n[[port]]\nport = 53\nprotocol = "udp"\n'
    assert len(read(GOOD + ports).port) == 2


@pytest.mark.parametrize(
    "path", ["/etc/x", "..", "a/../b", "a/..", "../a", "a\\n", "", "a\\n/../b"]
)
def test_no_script_leaves_the_recipes_folder(path: str) -> None:
    assert "a path below the recipe's folder" in complaint(f'{GOOD}[[script]]\npath = "{path}"\n')


@pytest.mark.parametrize("path", ["a", "scripts/a", "a..b", "..a", "a/..b/c", "漢"])
def test_a_script_below_the_recipes_folder(path: str) -> None:
    assert read(f'{GOOD}[[script]]\npath = "{path}"\n').script


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "root:x"), ("name", "a\\n"), ("gecos", "a:b"), ("gecos", "a\\nroot::0:0::/:"),
        ("home", "relative"), ("home", "/a:b"), ("home", "/../etc"), ("shell", "/bin/sh\\n"),
        ("ssh-keys", "a\\nb"),
    ],
)  # fmt: skip
def test_no_user_breaks_the_lines_of_passwd(key: str, value: str) -> None:
    written = f'["{value}"]' if key == "ssh-keys" else f'"{value}"'
    name = "" if key == "name" else 'name = "a"\n'
    assert "error: `" in complaint(f"{GOOD}[[user]]\n{name}{key} = {written}\n")
