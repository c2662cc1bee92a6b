"""The OCI runtime of a container: the one that it was started with, whatever the host has later."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from tests.support.containers.rig import PREAMBLE, Rig
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")

HIDE = """
work=$1 program=$2; folder=$(dirname "$program"); shift 2
mkdir -p "$work/upper" "$work/work"
mount -t overlay -o "lowerdir=$folder,upperdir=$work/upper,workdir=$work/work" none "$folder"
rm "$program"
exec "$@"
"""
CAPTURE = """
from builder.model.errors import OvenError
from builder.runtime.access.exec import capture
try:
    print(capture(places, "test", ("cat", "/etc/hostname")))
except OvenError as error:
    print(error, error.hint)
"""


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


def without(rig: Rig, program: str, work: Path) -> str:
    """Run a command in the container where a program of the host has been removed meanwhile."""
    code = PREAMBLE.format(home=rig.places.data) + textwrap.dedent(CAPTURE)
    argv = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-ec",
        HIDE,
        "sh",
        str(work),
        program,
    ]
    done = subprocess.run(
        [*argv, sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_kept_when_the_host_removes_it(rig: Rig, tmp_path: Path) -> None:
    engines = rig.places.data / "engines"
    engines.mkdir()
    (engines / "runc-of-long-ago").touch()
    control.start(rig.places, "test", Silent())
    current = state.read(rig.places, "test")
    assert current
    assert [path.name for path in engines.iterdir()] == [current.engine_copy]
    assert without(rig, current.engine, tmp_path / "one") == "(0, 'test\\n')\n"
    shutil.rmtree(engines)
    said = without(rig, current.engine, tmp_path / "two")
    assert "was started with `runc`, which is not installed any more" in said
    assert "`oven restart test`" in said
