"""Limits that all containers share are raised, or else the fifteenth systemd would not start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.checks import containers
from builder.host.kernel import sysctl
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from tests.support.containers.rig import rig_in, tiny_tree
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")


@pytest.fixture
def small() -> Iterator[None]:
    before = INSTANCES.read_text()
    INSTANCES.write_text("128")
    yield
    INSTANCES.write_text(before)


@pytest.mark.usefixtures("small")
def test_a_start_raises_them(tmp_path: Path) -> None:
    assert sysctl.too_small() == {"fs.inotify.max_user_instances": 65536}
    assert "raised when one is started" in containers.inotify().found
    with rig_in(tmp_path / "home", tiny_tree(tmp_path / "rootfs")) as rig:
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
    assert int(INSTANCES.read_text()) == 65536
    assert containers.inotify().found == "enough for many containers"


@pytest.mark.usefixtures("small")
def test_who_may_not_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl, "may_raise", lambda: False)  # root always may
    check = containers.inotify()
    assert check.state == "warn"
    assert check.fix == "as root: sysctl -w fs.inotify.max_user_instances=65536"


def test_larger_ones_stay() -> None:
    before = INSTANCES.read_text()
    INSTANCES.write_text("100000")
    try:
        sysctl.raise_all()
        assert INSTANCES.read_text() == "100000\n"
    finally:
        INSTANCES.write_text(before)
