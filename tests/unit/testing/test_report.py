"""Lines that a person reads, made by pytest itself of tests in a folder."""

from pathlib import Path

import pytest

from builder.testing.report import Lines
from builder.testing.run import GENERIC


def told(folder: Path, text: str) -> list[str]:
    """Run tests in this process, and give what is said of them."""
    # Named for the folder: modules of one name are read once in a process.
    (folder / f"test_of_{folder.name}.py").write_text(text)
    said: list[str] = []
    ini = GENERIC.parent / "pytest.ini"
    words = ["-c", str(ini), "--rootdir", str(folder), "--override-ini=addopts=-p no:cacheprovider"]
    lines = Lines(said.append, GENERIC, "shop")
    pytest.main([*words, "--import-mode=importlib", str(folder)], plugins=[lines])
    return [" ".join(one.split()) for one in (*said, lines.summary())]


def test_each_test_has_a_line(tmp_path: Path) -> None:
    said = told(tmp_path, '''\
import pytest
def test_one():
    """It is well. So much is sure."""
def test_two_things():
    assert 1 == 2, "one is not two"
@pytest.mark.parametrize("what", ["a"])
def test_three(what):
    """It is well
    with all."""
    pytest.skip("not here")
@pytest.fixture
def broken():
    raise KeyError("x")
def test_four(broken):
    pass
''')  # fmt: skip
    assert said[0] == "shop"
    assert said[1].removeprefix("ok 0.0 s ") == "It is well"
    assert said[2:4] == ["FAILED 0.0 s two things", "one is not two"]
    assert said[4:6] == ["skipped 0.0 s It is well with all (a)", "not here"]
    assert said[6:8] == ["FAILED 0.0 s four", "KeyError: 'x'"]
    assert said[8].startswith("1 ok, 2 FAILED, 1 skipped in ")


def test_a_file_that_cannot_be_read_has_its_reason(tmp_path: Path) -> None:
    said = told(tmp_path, "def test_one(:\n")
    assert said[0].endswith(".py cannot be read")
    assert "SyntaxError: invalid syntax" in said
