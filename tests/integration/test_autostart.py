"""Starting with the host: the order, and the unit as systemd reads it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.model.progress import Silent
from builder.runtime import autostart, lifecycle
from builder.runtime.container import Autostart
from tests.support.container import Rig, rig_in, tiny_tree
from tests.support.needs import needs

pytestmark = needs("root")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path / "home", tiny_tree(tmp_path / "rootfs")) as rig:
        yield rig


def make(rig: Rig, name: str, order: int | None) -> None:
    when = None if order is None else Autostart(order=order)
    lifecycle.create(rig.places, msgspec.structs.replace(rig.container(name), autostart=when))


def test_groups_come_in_order(rig: Rig) -> None:
    for name, order in (("last", 9), ("early", -1), ("b", 0), ("a", 0), ("never", None)):
        make(rig, name, order)
    found = [[one.name for one in group] for group in autostart.groups(rig.places)]
    assert found == [["early"], ["a", "b"], ["last"]]


@pytest.mark.needs("program:runc", "program:conmon")
def test_stopping_goes_the_other_way(rig: Rig) -> None:
    for name, order in (("one", 1), ("two", 2), ("other", None), ("rests", 3)):
        make(rig, name, order)
    for name in ("one", "two", "other"):
        lifecycle.start(rig.places, name, Silent())
    assert autostart.stop_groups(rig.places) == [["two"], ["one"], ["other"]]


@pytest.mark.needs("program:systemd-analyze")
def test_systemd_understands_the_unit(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVEN_HOME", str(rig.places.data))
    path = tmp_path / autostart.unit_name(rig.places)
    path.write_text(autostart.unit(rig.places))
    argv = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = path.read_text()
    assert f"Environment=OVEN_HOME={rig.places.data}\n" in shown
    assert " start --autostart\n" in shown


def test_a_host_without_systemd_is_told_what_to_call(rig: Rig, tmp_path: Path) -> None:
    assert autostart.settle(rig.places, tmp_path, tmp_path / "none") is None, "nothing is wanted"
    make(rig, "one", 0)
    said = autostart.settle(rig.places, tmp_path, tmp_path / "none")
    assert said is not None
    assert "start --autostart" in said
    assert list(tmp_path.glob("*.service")) == []
