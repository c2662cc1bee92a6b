"""Health probes of recipes: what each kind needs and does not know, and how layers join."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import RecipeError
from builder.model.health import HealthProbe
from builder.recipes.interface import interface_of
from builder.recipes.load import load_file
from tests.support.recipes import BASE, HEAD, write

PROBE = '[[health]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ('kind = "tcp"\n', "a probe of the kind `tcp` needs `port`", 8),
        ('kind = "exec"\n', "a probe of the kind `exec` needs `command`", 8),
        ('kind = "unit"\n', "a probe of the kind `unit` needs `unit`", 8),
        ('kind = "dns"\n', "a probe of the kind `dns` needs `query`", 8),
        ('kind = "file"\npath = "/x"\n', "a probe of a file needs `age` or `contains`", 8),
        ('kind = "redis"\npath = "/x"\n', "a probe of the kind `redis` knows no `path`", 9),
        ('kind = "http"\nquery = "x"\n', "it knows: port, host, path, status", 9),
        ('kind = "htp"\n', "did you mean `http`?", 8),
        ('kind = "http"\npath = "x"\n', "`x` does not start with `/`", 9),
        ('kind = "http"\nport = "www"\n', "`www` is no port", 9),
        ('kind = "http"\nport = 0\n', "`port` must be at least 1", 9),
        ('kind = "smtp"\ndays = 3\n', "without TLS there is no certificate", 9),
        ('kind = "smtp"\ntls = true\nstarttls = true\n', "exclude each other", 10),
        ('kind = "disk"\nfree = "much"\n', "`much` is not an amount of free space", 9),
        ('kind = "redis"\n[[health]]\nname = "a"\nkind = "pg"\n', "there are two probes `a`", 10),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_stands(
    tmp_path: Path, text: str, said: str, line: int
) -> None:
    path = write(tmp_path, "one", HEAD.format(name="one") + BASE + PROBE + text)
    with pytest.raises(RecipeError) as caught:
        load_file(path)
    assert said in render(caught.value)
    assert caught.value.at is not None
    assert caught.value.at.line == line


def test_of_layers_the_higher_one_counts(tmp_path: Path) -> None:
    lower = f'{PROBE}kind = "redis"\n[[health]]\nname = "b"\nkind = "pg"\n'
    higher = f'{PROBE}kind = "http"\ntimeout = "2m"\n'
    write(tmp_path, "lower", HEAD.format(name="lower") + BASE + lower)
    path = write(tmp_path, "higher", f'from = "lower"\n{HEAD.format(name="higher")}{higher}')
    first, second = interface_of(load_file(path)).health
    assert (first.kind, first.seconds, first.level) == ("http", 120, "ready")
    assert second == HealthProbe(name="b", kind="pg")
