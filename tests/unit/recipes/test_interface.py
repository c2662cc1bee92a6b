"""Interfaces of recipes: held against JSON Schema when they are read, and joined over layers."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import RecipeError
from builder.model.interface import defaults
from builder.recipes.interface import interface_of
from builder.recipes.load import load_file
from tests.support.recipes import BASE, HEAD, write


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ('[parameters.a]\ndefault = 3\nmaximum = 2\n', "the default of `a` is not what", 7),
        ('[parameters.a]\ndefault = "x"\nenum = ["y"]\n', "the default of `a` is not what", 7),
        ('[parameters.a]\ntype = "array"\ndefault = ["x"]\nitems.minLength = 2\n', "of `a`", 8),
        ('[parameters.a]\nformat = "hostnam"\n', "there is no format `hostnam`", 7),
        ('[parameters.a]\npattern = "("\n', "this is not JSON Schema", 6),
        ('[parameters.a]\nitems = { type = "strin" }\n', "this is not JSON Schema", 6),
        ('[parameters.a]\nitems = { "$ref" = "http://127.0.0.1/x" }\n', "nothing is fetched", 6),
        ('[parameters.a]\ntype = "integer"\ngenerate = "random"\n', "is a string", 8),
        ('[parameters.a]\nsecret = true\ndefault = "x"\n', "a secret has no default", 8),
        ('[secrets.a]\nkind = "rsa"\n[parameters.a]\n', "`a` is a parameter, too", 6),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_stands(
    tmp_path: Path, text: str, said: str, line: int
) -> None:
    path = write(tmp_path, "one", HEAD.format(name="one") + BASE + text)
    with pytest.raises(RecipeError) as caught:
        load_file(path)
    assert said in render(caught.value)
    assert caught.value.at is not None
    assert caught.value.at.line == line


def test_of_layers_the_higher_one_counts(tmp_path: Path) -> None:
    lower = "[parameters.a]\ndefault = 1\n[parameters.b]\ndefault = 2\n[secrets.s]\nkind = 'rsa'\n"
    lower += '[services.config."x.service"]\ntest = ["true"]\n'
    higher = "[parameters.b]\ndefault = 3\n[[assert]]\nthat = 'true'\nmessage = 'm'\n"
    write(tmp_path, "lower", HEAD.format(name="lower") + BASE + lower)
    path = write(tmp_path, "higher", f'from = "lower"\n{HEAD.format(name="higher")}{higher}')
    found = interface_of(load_file(path))
    assert defaults(found.parameters) == {"a": 1, "b": 3}
    assert list(found.secrets) == ["s"]
    assert found.services["x.service"].test == ("true",)
    assert [one.message for one in found.asserts] == ["m"]


def test_plain_parameters_cost_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each build reads its recipe, and most parameters are a default with a title."""

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("builder.recipes.interface.mistakes", never)
    text = '[parameters.a]\ndefault = 1\ntitle = "A"\n[parameters.b]\ndefault = "x"\n'
    load_file(write(tmp_path, "one", HEAD.format(name="one") + BASE + text))
    with pytest.raises(AssertionError):
        load_file(write(tmp_path, "two", HEAD.format(name="two") + BASE + f"{text}minLength = 9\n"))
