"""A container whose root makes cgroups without end: the host's kernel keeps a few of them."""

from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.access import exec as execution
from builder.runtime.lifecycle import control, create
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon", "program:busybox")


LIFT = "for file in cgroup.max.*; do echo max >$file; done"


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    add_program(tree, "busybox")
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


def inside(rig: Rig, line: str) -> str:
    return execution.capture(rig.places, "test", ("busybox", "sh", "-c", line))[1]


def test_cgroups_in_a_container_have_an_end(rig: Rig) -> None:
    """A hundred thousand are memory of the kernel that no limit counts, and slow the host."""
    said = inside(rig, "cd /sys/fs/cgroup && busybox mkdir $(busybox seq 4200) 2>&1")
    assert "Resource temporarily unavailable" in said
    made = inside(rig, "busybox find /sys/fs/cgroup -mindepth 1 -type d | busybox wc -l")
    assert int(made) <= 4096


def test_cgroups_in_a_container_are_not_deep(rig: Rig) -> None:
    """Each level is work for whatever is counted below it."""
    said = inside(rig, "busybox mkdir -p /sys/fs/cgroup/$(busybox seq -s / 60) 2>&1")
    assert "Resource temporarily unavailable" in said


def test_root_inside_does_not_lift_the_end(rig: Rig) -> None:
    assert inside(rig, f"cd /sys/fs/cgroup; {LIFT}").count("Permission denied") == 2
    kept = inside(rig, "busybox cat /sys/fs/cgroup/cgroup.max.depth")
    assert kept == "32\n"
