"""The shape of the project: small files and functions, and nothing that belongs elsewhere."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.oven import CHECKOUT

FILE = 400
FUNCTION = 40
PARAMETERS = 5
DOZEN = 12

NOTHING_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "misc",
    "context",
}
"""Names of modules that say nothing of what is in them."""

FORBIDDEN = {
    "the host name of a mirror or registry: it comes from settings, apt or pip": re.compile(
        r"(deb|security|ftp|httpredir|snapshot)\." + r"debian\.org|archive\." + r"ubuntu\.com"
        r"|py" + r"pi\.org|python" + r"hosted\.org|docker\." + r"io\b|quay\." + r"io\b",
        re.IGNORECASE,
    ),
    "a path of one person's machine": re.compile(r"(?<![\w.])/wo" + r"rk/"),
}


def files(*suffixes: str) -> list[Path]:
    """Give what git knows, and what is about to be added."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("this is no git checkout")
    paths = [CHECKOUT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.suffix in (suffixes or (path.suffix,)) if path.is_file()]


def sources() -> list[Path]:
    return [path for path in files(".py") if "tests" not in path.relative_to(CHECKOUT).parts]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_short() -> None:
    found = []
    for path in files(".py"):
        name = path.relative_to(CHECKOUT)
        length = len(path.read_text().splitlines())
        if length > FILE:
            found.append(f"{name} has {length} lines")
    assert found == []


def test_functions_are_short() -> None:
    found = []
    for path in sources():
        for function in functions(path):
            # What click is told of options is a table, and tables may be long.
            first = function.body[0].lineno
            length = (function.end_lineno or first) - first + 1
            if length > FUNCTION:
                found.append(f"{path.relative_to(CHECKOUT)}: {function.name} has {length} lines")
    assert found == []


def test_functions_take_few_parameters() -> None:
    found = []
    for path in sources():
        for function in functions(path):
            arguments = function.args
            names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
            count = len([name for name in names if name not in {"self", "cls"}])
            count += len(arguments.kwonlyargs)
            # A command of click has one parameter for each option.
            if count > PARAMETERS and not _is_command(function):
                found.append(f"{path.relative_to(CHECKOUT)}: {function.name} takes {count}")
    assert found == []


def _is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("command" in ast.unparse(one) for one in function.decorator_list)


def test_modules_are_named_for_what_is_in_them() -> None:
    names = [part for path in sources() for part in (path.stem, path.parent.name)]
    assert NOTHING_NAMES.isdisjoint(names)


@pytest.mark.parametrize("reason", FORBIDDEN)
def test_nothing_is_written_down_that_belongs_elsewhere(reason: str) -> None:
    found = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        lines = enumerate(text.splitlines(), 1)
        name = path.relative_to(CHECKOUT)
        found += [f"{name}:{number}" for number, line in lines if FORBIDDEN[reason].search(line)]
    assert found == []


def test_tests_lie_in_folders() -> None:
    """Each where its module lies, and no folder has more than one can look through."""
    folders = Counter(path.parent for path in files(".py") if path.name.startswith("test_"))
    flat = [CHECKOUT / "tests" / name for name in ("unit", "integration", "system", "attacks")]
    assert folders.keys().isdisjoint(flat)
    assert [str(folder) for folder, count in folders.items() if count > DOZEN] == []


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    """One that is called `build` would be, without a word."""
    tests = [path.relative_to(CHECKOUT) for path in (CHECKOUT / "tests").rglob("test_*.py")]
    folders = {folder.name for path in tests for folder in path.parents}
    passed_over = pytestconfig.getini("norecursedirs")
    assert [one for one in folders if any(fnmatch(one, pattern) for pattern in passed_over)] == []


SCRIPTS = ("run", "setup.sh", "pin", "elsewhere")
"""Those of `.ci`."""


def test_shell_scripts_are_sound() -> None:
    for name in ("quickstart", "check", *(f".ci/{name}" for name in SCRIPTS)):
        done = subprocess.run(["bash", "-n", CHECKOUT / name], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
