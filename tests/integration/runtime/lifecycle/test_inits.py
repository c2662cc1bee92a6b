"""Inits that say nothing of themselves: when they count as up, how they end, what kind they are."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from builder.model.value import Digest, hex_of
from builder.runtime.lifecycle import create
from builder.runtime.record import state
from builder.runtime.record.container import load
from tests.support.containers.rig import DIGEST, SILENT, Rig, put_init, tiny_tree
from tests.support.containers.templates import add, describe
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

NEW = Digest("sha256:" + "cd" * 32)
DYING = "#!/bin/sh\necho it cannot go on\nsleep 1\nexit 1\n"
DEAF = """\
#!/bin/sh
sh -c 'trap "touch /told; exit 0" TERM; touch /listens; while :; do sleep .05; done' &
while :; do wait; sleep 1000; done
"""
CROWDED = """\
#!/bin/sh
for each in 1 2 3 4 5 6 7 8 9 10; do
    sh -c 'for each in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait' &
done
touch /crowded
while :; do wait; sleep 1000; done
"""
STEPS = """\
#!/bin/sh
sh /etc/rc
while :; do sleep 1000; done
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tiny_tree(tmp_path / "old")
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    return root


@pytest.fixture
def new(tmp_path: Path, tree: Path) -> Path:
    shutil.copytree(tree, tmp_path / "new", symlinks=True)
    return tmp_path / "new"


@pytest.fixture
def rig(rig: Rig, new: Path) -> Rig:
    describe(rig)
    add(rig, NEW, new, "new")
    create.create(rig.places, rig.container())
    return rig


def test_an_upgrade_to_an_init_that_ends_soon_is_undone(rig: Rig, new: Path, oven: Oven) -> None:
    put_init(new, DYING)
    oven("start", "test")
    said = oven.said("upgrade", "test", "--to", hex_of(NEW), code=6)
    assert "is as it was before" in said
    assert "it cannot go on" in said
    assert load(rig.places, "test").template == DIGEST
    assert state.status(rig.places, "test") == "running"


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_one_that_ends_soon_has_not_started(tree: Path, oven: Oven, verb: str) -> None:
    put_init(tree, DYING)
    said = oven.said(verb, "test", code=6)
    assert "ended before it was ready" in said
    assert "it cannot go on" in said


def test_one_that_says_nothing_is_up_once_it_has_run_a_while(
    rig: Rig, tree: Path, oven: Oven
) -> None:
    put_init(tree, SILENT)
    oven("start", "test")
    current = state.read(rig.places, "test")
    assert current
    assert current.ready


def test_the_kind_is_found_anew_after_an_upgrade_and_back(rig: Rig, new: Path, oven: Oven) -> None:
    """The new one passes for systemd, and says that it is up; it listens to nothing."""
    says = SILENT.replace("echo hello", 'logger --socket /run/host/notify "\nREADY=1"\necho hello')
    put_init(new, says.replace("TERM", "37"), as_systemd=True)
    (new / "usr/bin/systemctl").write_text('#!/bin/sh\ncase "$*" in is-*) echo running ;; esac\n')
    (new / "usr/bin/systemctl").chmod(0o755)
    oven("upgrade", "test", "--to", hex_of(NEW))
    oven("start", "test")
    assert load(rig.places, "test").init == "systemd"
    oven("stop", "test")
    assert "going down" in text(oven("logs", "test").stdout)
    oven("rollback", "test")
    oven("start", "test")
    assert load(rig.places, "test").init == "other"


def test_a_boot_that_takes_its_time_is_waited_for(rig: Rig, tree: Path, oven: Oven) -> None:
    """As with Busybox's init: what comes before the runlevel is a child that it waits for."""
    put_init(tree, STEPS)
    (tree / "etc/inittab").write_text("::sysinit:/etc/rc\n::respawn:/bin/sh\n")
    (tree / "etc/rc").write_text("sleep 5\ntouch /up\n")
    oven("start", "test")
    oven("exec", "test", "--", "ls", "/up")


def test_a_deaf_init_has_all_others_told_to_end(rig: Rig, tree: Path, oven: Oven) -> None:
    put_init(tree, DEAF)
    oven("start", "test")
    oven("exec", "test", "--", "ls", "/listens")
    said = oven.said("stop", "test", "--time", "3600")
    assert "takes no order to shut down" in said
    assert (rig.places.data / "containers/test/upper/told").exists()


def test_more_processes_than_files_can_be_open_are_told_to_end(
    rig: Rig, tree: Path, oven: Oven
) -> None:
    put_init(tree, CROWDED)
    oven("start", "test")
    oven("exec", "test", "--", "ls", "/crowded")
    few = dataclasses.replace(oven, argv=("prlimit", "--nofile=64", *oven.argv))
    assert "takes no order to shut down" in few.said("stop", "test", "--time", "3600")
    assert not rig.leftovers()
