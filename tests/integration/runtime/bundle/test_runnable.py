"""What cannot be started in a container: 127 where something is not there, else 126."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.model.value import hex_of
from builder.runtime.lifecycle import control, create
from tests.support.containers import templates
from tests.support.containers.rig import DIGEST, Rig, rig_in, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon")


def put(tree: Path, name: str, content: bytes, mode: int = 0o755) -> None:
    (tree / "tmp" / name).write_bytes(content)
    (tree / "tmp" / name).chmod(mode)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One container that runs, for all tests here."""
    folder = tmp_path_factory.mktemp("runnable")
    tree = tiny_tree(folder / "rootfs")
    program = Path(shutil.which("true") or "/bin/true").read_bytes()
    put(tree, "script", b"#! /bin/sh -e\nexit 3\n")
    put(tree, "no-interpreter", b"#!/nosuch/interpreter\nexit 3\n")
    put(tree, "through", b"#!/tmp/no-interpreter\n")
    put(tree, "plain-interpreter", b"#!/etc/passwd\n")
    put(tree, "no-loader", program.replace(b"/ld-", b"/xx-"))
    put(tree, "short", program[:300])
    put(tree, "garbage", b"\x7fELFgarbage")
    put(tree, "wrong", b"\x7fELF\x02\x01\x01" + bytes(57))
    put(tree, "plain", b"#!/bin/sh\n", 0o644)
    (tree / "tmp/loop").symlink_to("loop")
    with rig_in(folder / "home", tree) as rig:
        templates.describe(rig)
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


COMMANDS = {
    "/tmp/script": (3, ""),
    "tmp/script": (3, ""),
    "./tmp/script": (3, ""),
    "/tmp/no-interpreter": (127, "needs `/nosuch/interpreter`, which is not there"),
    "/tmp/through": (127, "needs `/nosuch/interpreter`, which is not there"),
    "/tmp/plain-interpreter": (126, "needs `/etc/passwd`, which is not executable"),
    "/tmp/no-loader": (127, "which is not there"),
    "/tmp/short": (126, "is damaged"),
    "/tmp/garbage": (126, "is damaged"),
    "/tmp/wrong": (126, "is damaged"),
    "/tmp/plain": (126, "is not executable"),
    "/tmp/loop": (126, "is not executable"),
    "/tmp": (126, "is not executable"),
    "/nosuch": (127, "there is no program"),
    "./nosuch": (127, "there is no program"),
    "nosuch": (127, "there is no program"),
    "": (127, "without a name"),
    "/run/nosuch": (127, "not in the container"),
}
WAYS = {"exec": ("exec", "test"), "run": ("run", "--network", "none", hex_of(DIGEST))}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_status_tells_why(oven: Oven, way: str, command: str) -> None:
    code, told = COMMANDS[command]
    if way == "run" and command == "/run/nosuch":
        pytest.skip("the init that is around it sees that, and ends with 1")
    assert told in oven.said(*WAYS[way], "--", command, code=code)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("folder", ["/nosuch", "/etc/passwd", "/tmp/loop"])
def test_a_working_folder_has_to_be_there(oven: Oven, way: str, folder: str) -> None:
    verb, *others = WAYS[way]
    said = oven.said(verb, "-w", folder, *others, "--", "true", code=126)
    assert f"there is no folder `{folder}`" in said


def test_a_working_folder_that_only_the_runtime_sees(oven: Oven) -> None:
    assert oven("exec", "-w", "/dev/shm", "test", "--", "sh", "-c", "pwd").stdout == b"/dev/shm\n"
    oven("exec", "-w", "/run/nosuch", "test", "--", "true", code=126)
