"""The tests that the threat model names are there."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.oven import CHECKOUT

TEXT = (CHECKOUT / "docs/explanation/threat-model.md").read_text()
SHORT: dict[str, str] = dict(re.findall(r"`(\w+)` is\s+`(tests/[\w/.]+)`", TEXT))
FILES = "|".join((*SHORT, r"tests/[\w/.]+"))
NAMED = sorted(set(re.findall(rf"`((?:{FILES})(?:::\w+)?)`", TEXT)) - set(SHORT))


def names_in(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("named", NAMED, ids=NAMED)
def test_it_is_there(named: str) -> None:
    file, _, name = named.partition("::")
    path = CHECKOUT / SHORT.get(file, file)
    assert not name or name in names_in(path), path


def test_every_test_of_known_attacks_is_named() -> None:
    there = {
        name
        for name in names_in(CHECKOUT / SHORT["cves"])
        if name.startswith("test_") and "CVE-" in (_docstrings()[name] or "")
    }
    assert there - {named.partition("::")[2] for named in NAMED} == set()


def _docstrings() -> dict[str, str | None]:
    body = ast.parse((CHECKOUT / SHORT["cves"]).read_text()).body
    return {n.name: ast.get_docstring(n) for n in body if isinstance(n, ast.FunctionDef)}
