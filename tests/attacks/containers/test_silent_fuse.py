"""FUSE: nobody inside has a way to it, and where there is one nobody outside waits for it."""

from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from tests.support.containers.rig import FEATURES, Rig
from tests.support.faults.bounded import ends, inside
from tests.support.faults.silent_fuse import FILE, FOLDER, silent_fuse
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "userns", "program:runc", "program:conmon")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


def test_nobody_waits_for_a_file_system_that_never_answers(
    rig: Rig, oven: Oven, tmp_path: Path
) -> None:
    """Real FUSE over the table of users and a folder: each command that looks inside ends."""
    inside(rig, "mkdir /srv /srv/folder; touch /srv/file")
    (tmp_path / "file").touch()
    current = state.read(rig.places, "test")
    assert current is not None
    places = {"/etc/passwd": FILE, "/srv/folder": FOLDER, "/dev/shm": FOLDER}
    with silent_fuse(current.pid, tmp_path / "fuse", places):
        refused = "that is not entered is mounted there"
        assert refused in ends(oven, "exec", "test", "--", "true", code=125)
        assert refused in ends(oven, "enter", "test", code=125)
        assert refused in ends(oven, "cp", "test:/etc/passwd", tmp_path / "copy", code=3)
        assert refused in ends(oven, "cp", "test:/srv/folder/x", tmp_path / "copy", code=3)
        assert refused in ends(oven, "cp", tmp_path / "file", "test:/srv/folder/", code=3)
        assert refused in ends(oven, "cp", "--owner", "ann", tmp_path / "file", "test:/f", code=3)
        assert "left out `folder`" in ends(oven, "cp", "test:/srv", tmp_path / "srv")
        assert (tmp_path / "srv/file").exists()
        for verb in (("diff", "test"), ("show", "test"), ("logs", "test"), ("top", "--once"),
                     ("list",), ("diff", "test", "--as-overlay", tmp_path / "made"),
                     ("snapshot", "create", "test"), ("clone", "test", "other"),
                     ("export", "test", "-o", tmp_path / "file.oven"),
                     ("set", "test", "--pids", "500", "--memory", "100M", "--hostname", "new"),
                     ("stop", "test")):  # fmt: skip
            ends(oven, *verb)


@pytest.mark.skipif("fuse" in FEATURES, reason="it was given one")
def test_root_inside_has_no_way_to_fuse(rig: Rig) -> None:
    """The device is not there, cannot be made, and no other descriptor stands in for it."""
    script = """
        test ! -e /dev/fuse
        ! mknod /tmp/fuse c 10 229
        ! mount -t fuse -o fd=0,rootmode=40000,user_id=0,group_id=0 silent /tmp
    """
    inside(rig, script)
