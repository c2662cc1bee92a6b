"""Programs of the host that hang are given up, and whoever waits for a lock is told for whom."""

import fcntl
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.model.network import DEFAULT
from builder.runtime.lifecycle import create
from builder.runtime.record import state
from builder.runtime.record.container import Interface
from tests.support.containers.rig import Rig, rig_in, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven, text, wait_for_line

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:nft"),
]

SHORT = """
import sys
from builder.host import locks, programs
programs.PROMPT = 3.0
locks.PATIENCE = 0.1
from builder.cli import main
sys.argv[0] = "oven"
main()
"""
"""The command, but with a minute of patience made three seconds."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tree(tmp_path_factory.mktemp("tiny") / "rootfs")


@pytest.fixture
def rig(tmp_path: Path, tree: Path) -> Iterator[Rig]:
    with rig_in(tmp_path / "home", tree) as rig:
        create.create(rig.places, rig.container())
        yield rig
    assert rig.leftovers() == []


@pytest.fixture
def oven(rig: Rig) -> Oven:
    return Oven(rig.places.data, argv=(sys.executable, "-c", SHORT))


def without(oven: Oven, program: str, folder: Path, verb: str = "*") -> Oven:
    """Have a program hang, for this command alone: another one is mounted over it."""
    path = shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    assert path is not None
    real, fake, mark = folder / "real" / program, folder / f"fake-{program}", folder / "hangs"
    real.parent.mkdir(exist_ok=True)
    shutil.copy(path, real)
    fake.write_text(
        f'#!/bin/sh\nfor word in "$@"; do case $word in {verb}) echo >>{mark}; sleep 1000000;'
        f' esac; done\nexec {real} "$@"\n'
    )
    fake.chmod(0o755)
    script = f'mount --bind {fake} {path}; exec "$@"'
    argv = ("unshare", "-m", "--propagation", "private", "sh", "-ec", script, "sh")
    return Oven(oven.home, argv=(*argv, *oven.argv), env=oven.env)


@pytest.mark.parametrize(
    ("program", "verb"), [("runc", "create"), ("runc", "start"), ("conmon", "--cid")]
)
def test_what_hangs_is_given_up_and_named(
    rig: Rig, oven: Oven, tmp_path: Path, program: str, verb: str
) -> None:
    said = without(oven, program, tmp_path, verb).said("start", "test", code=3)
    assert f"`{program}`" in said
    assert "given up" in said
    assert state.read(rig.places, "test") is None
    assert rig.leftovers() == []
    oven("start", "test")


@pytest.mark.parametrize("program", ["nft", "ip"])
def test_the_network_hangs(rig: Rig, oven: Oven, tmp_path: Path, program: str) -> None:
    plugged = msgspec.structs.replace(
        rig.container("plugged"), interfaces=(Interface(network=DEFAULT),)
    )
    create.create(rig.places, plugged)
    broken = without(oven, program, tmp_path)
    assert f"`{program}` has not ended in 3 seconds" in broken.said("start", "plugged", code=3)
    oven("start", "plugged")
    oven("destroy", "--force", "plugged")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_waiting_for_what_hangs(
    rig: Rig, oven: Oven, tmp_path: Path, number: signal.Signals
) -> None:
    broken = without(Oven(oven.home), "runc", tmp_path, "create")
    process = broken.start("start", "test")
    waiting = tmp_path / "hangs"
    wait_until_there(waiting)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, out
    assert rig.leftovers() == []


def wait_until_there(path: Path) -> None:
    from builder.host.kernel import inotify

    with inotify.Folder(path.parent) as folder:
        while not path.exists():
            folder.wait(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_who_waits_is_told_for_whom_and_may_end(
    rig: Rig, oven: Oven, number: signal.Signals
) -> None:
    fd = os.open(rig.places.data / "containers/test", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        process = oven.start("set", "test", "--pids", "100")
        (line,) = wait_for_line(process, "waiting for")
        found = re.search(r"\(pid (\d+), since (\d\d:\d\d:\d\d)\), which .* container `test`", line)
        assert found is not None, line
        assert int(found[1]) == os.getpid()
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == 128 + number
    finally:
        os.close(fd)
    oven("set", "test", "--pids", "100")


def test_an_oven_that_holds_is_shown_as_it_was_typed(rig: Rig, oven: Oven, tmp_path: Path) -> None:
    process = without(Oven(oven.home), "runc", tmp_path, "create").start("start", "test")
    wait_until_there(tmp_path / "hangs")
    other = oven.start("stop", "test")
    (line,) = wait_for_line(other, "waiting for")
    assert "waiting for `oven start test` (pid" in line
    process.terminate()
    process.communicate(timeout=30)
    out, _ = other.communicate(timeout=30)
    assert other.returncode == 0, text(out)
