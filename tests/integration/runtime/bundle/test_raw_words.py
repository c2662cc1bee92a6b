"""Arguments, variables and folders that are no UTF-8, as old file names are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.model.value import hex_of
from builder.runtime.lifecycle import control, create
from tests.support.containers import templates
from tests.support.containers.rig import DIGEST, Rig, add_program, rig_in, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon")

ODD = b"\xff%d\\n '\"$x`\n\n"
WAYS = {"exec": ("exec", "test"), "run": ("run", "--network", "none", hex_of(DIGEST))}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One container that runs, for all tests here."""
    folder = tmp_path_factory.mktemp("raw")
    tree = tiny_tree(folder / "rootfs")
    add_program(tree, "printf")
    Path(os.fsdecode(os.fsencode(tree / "tmp") + b"/\xfe")).mkdir()
    with rig_in(folder / "home", tree) as rig:
        templates.describe(rig)
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


@pytest.mark.parametrize("way", WAYS)
def test_arguments_of_any_bytes(oven: Oven, way: str) -> None:
    words = ("plain", os.fsdecode(ODD), "é", "-n", "", os.fsdecode(b"-\xfe"), "it's")
    done = oven(*WAYS[way], "--", "printf", "%s|", *words)
    assert done.stdout == b"".join(os.fsencode(word) + b"|" for word in words)


@pytest.mark.parametrize("way", WAYS)
def test_variables_of_any_bytes(oven: Oven, way: str) -> None:
    verb, *others = WAYS[way]
    odd = os.fsdecode(b"ODD=" + ODD)
    script = 'printf "%s|%s" "$ODD" "$PLAIN"'
    done = oven(verb, "-e", odd, "-e", "PLAIN=x", *others, "--", "sh", "-c", script)
    assert done.stdout == ODD + b"|x"


@pytest.mark.parametrize("way", WAYS)
def test_a_working_folder_of_any_bytes(oven: Oven, way: str) -> None:
    verb, *others = WAYS[way]
    done = oven(verb, "-w", os.fsdecode(b"/tmp/\xfe"), *others, "--", "sh", "-c", "pwd")
    assert done.stdout == b"/tmp/\xfe\n"


def test_status_and_user_stay(oven: Oven) -> None:
    odd = os.fsdecode(b"\xff")
    script = 'test "$(id -u)" = 1000 && kill -TERM $$'
    oven("exec", "-u", "ann", "test", "--", "sh", "-c", script, odd, code=143)
    assert "no program" in oven.said("exec", "test", "--", odd, code=127)


def test_a_name_of_a_variable_that_no_shell_can_set(oven: Oven) -> None:
    word = os.fsdecode(b"A-B=\xff")
    said = oven.said("exec", "-e", word, "test", "--", "true", code=125)
    assert "is not UTF-8" in said
    assert "only letters" in said


def test_without_a_shell_it_is_told(tmp_path: Path) -> None:
    bare = tiny_tree(tmp_path / "bare")
    (bare / "usr/bin/sh").unlink()
    with rig_in(tmp_path / "home", bare) as other:
        templates.describe(other)
        said = Oven(other.places.data).said(
            "run", "--network", "none", hex_of(DIGEST), "--", "true", os.fsdecode(b"\xff"), code=125
        )
    assert "would need a `/bin/sh`" in said
