"""`oven template`: a day with it, a name that moves, and mistakes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.formats.tarball import pack
from tests.support.needs import needs
from tests.support.trees.odd_trees import make_odd_tree, manifest

Oven = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def oven(tmp_path: Path) -> Oven:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "builder", "template", *map(str, arguments)],
            env={**os.environ, "OVEN_HOME": str(tmp_path / "data")},
            capture_output=True,
            text=True,
        )

    return run


@needs("root")
def test_a_day_with_templates(oven: Oven, tmp_path: Path) -> None:
    tree = make_odd_tree(tmp_path / "tree")
    tarball = tmp_path / "odd.tar.zst"
    pack(tree, manifest(), tarball)
    assert oven("list").stdout == ""
    assert json.loads(oven("list", "--json").stdout) == []
    assert oven("import", tarball).stdout == "odd\n"
    assert oven("import", tarball, "--name", "other").stdout == "other\n"
    assert [line.split()[0] for line in oven("list").stdout.splitlines()] == [
        "NAME",
        "odd",
        "other",
    ]
    (row,) = json.loads(oven("list", "--json").stdout)
    assert row["names"] == ["odd", "other"]
    assert row["digest"] in oven("show", "odd").stdout
    shown = json.loads(oven("show", "other", "--json").stdout)
    assert shown["manifest"]["summary"] == "a tree of oddities"
    assert shown["used-by"] == []
    done = oven("export", "odd", "-o", tmp_path / "out")
    assert done.stdout == f"{tmp_path}/out/odd_amd64.tar.zst\n"
    assert (tmp_path / "out/odd_amd64.tar.zst").read_bytes() == tarball.read_bytes()
    assert oven("rm", "odd", "other").returncode == 0
    assert json.loads(oven("list", "--json").stdout) == []


@needs("root")
def test_a_name_that_moves_to_another_template_is_told(oven: Oven, tmp_path: Path) -> None:
    """A stranger's template that is called like one of ours does not take its place unseen."""
    tree = make_odd_tree(tmp_path / "tree")
    pack(tree, manifest(), tmp_path / "one.tar.zst")
    (tree / "etc/changed").write_text("by a stranger")
    pack(tree, manifest(), tmp_path / "two.tar.zst")
    assert oven("import", tmp_path / "one.tar.zst").stderr == ""
    assert oven("import", tmp_path / "one.tar.zst").stderr == "", "the same one takes nothing"
    (before,) = json.loads(oven("list", "--json").stdout)
    done = oven("import", tmp_path / "two.tar.zst")
    assert done.stdout == "odd\n"
    assert f"`odd` was {before['digest'].removeprefix('sha256:')[:12]}" in done.stderr
    assert " before, and is now " in done.stderr


@needs("root")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["show", "nothing"], 7, "there is no template `nothing`"),
        (["rm", "nothing"], 7, "there is no template `nothing`"),
        (["export", "nothing"], 7, "there is no template `nothing`"),
        (["import", "nothing"], 2, "cannot read `nothing`"),
        (["import", "/etc/passwd"], 2, "this is no template"),
        (["import", "/etc"], 2, "cannot read `/etc`"),
    ],
)
def test_mistakes_are_told(oven: Oven, arguments: list[str], code: int, text: str) -> None:
    done = oven(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
