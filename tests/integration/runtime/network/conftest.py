"""A host of its own for each module of tests, empty before and after each test.

The test process moves into a network namespace that plays the host, so that nothing here meets
the network of the machine.
"""

from collections.abc import Iterator

import pytest

from builder.host.network import link
from tests.support.hosts.netns import Namespace, world
from tests.support.hosts.networks import FOREIGN, Rig, rig_on


@pytest.fixture(scope="module")
def a_world() -> Iterator[tuple[Namespace, Namespace]]:
    with world() as (host, outside):
        link.apply_rules(FOREIGN)
        yield host, outside


@pytest.fixture
def rig(a_world: tuple[Namespace, Namespace]) -> Iterator[Rig]:
    with rig_on(*a_world) as rig:
        yield rig
