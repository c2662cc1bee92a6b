"""Fixtures: what a test of an appliance may ask for by naming it as a parameter."""

import re
from collections.abc import Callable, Generator, Iterator

import pytest

from builder.model.interface import Json
from builder.testing.appliance import Appliance
from builder.testing.client import RECIPE, Client
from builder.testing.container import Container, Instance, fresh_name
from builder.testing.rig import Rig
from builder.testing.verbs import oven
from builder.testing.world import World, make

APPLIANCE = pytest.StashKey[Appliance]()
RIG = pytest.StashKey[Rig]()
_USED = pytest.StashKey[list[Container]]()
"""Of a test: the containers that it has made itself."""

Instances = Callable[..., Instance]
"""Makes an instance with answers beside those of answers.toml: `instances(title="Other")`."""


class Given:
    """Hands a run's appliance and rig to fixtures."""

    def __init__(self, appliance: Appliance, rig: Rig) -> None:
        self._appliance = appliance
        self._rig = rig

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Put them where fixtures look."""
        config.stash[APPLIANCE] = self._appliance
        config.stash[RIG] = self._rig


@pytest.fixture(scope="session")
def appliance(pytestconfig: pytest.Config) -> Appliance:
    """The appliance under test: its interface, ports, services, and the answers of its tests."""
    return pytestconfig.stash[APPLIANCE]


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Rig:
    """The network of this run, and all that is on it."""
    one = pytestconfig.stash[RIG]
    # Whom containers ask for names is settled when they start, so the world is there before them.
    if any(_wants_world(item) for item in request.session.items):
        one.world = make(one.network, one.boot)
    return one


@pytest.fixture(scope="session")
def world(rig: Rig) -> World:
    """The internet that all live in when a test asks for it: names, certificates, mail."""
    assert rig.world is not None
    return rig.world


@pytest.fixture(scope="session")
def common_instance(appliance: Appliance, rig: Rig) -> Instance:
    """The instance that all tests share which neither break nor change one."""
    return rig.instance(appliance.answers)


@pytest.fixture(scope="session")
def twin(appliance: Appliance, rig: Rig) -> Instance:
    """A second instance with the same answers, which tests may break if they mend it."""
    return rig.instance(appliance.answers)


@pytest.fixture(scope="session")
def client(rig: Rig) -> Client:
    """A container on the same network, with curl, openssl and dig."""
    oven("build", "--no-probe", RECIPE)
    made = Client(fresh_name("client"))
    rig.boot(made, RECIPE)
    if rig.world:
        # It finds instances by their short names, as the network's own server would have it.
        made.exec("sh", "-c", 'echo "search $0" >>/etc/resolv.conf', rig.network)
    return made


@pytest.fixture
def instances(
    request: pytest.FixtureRequest, appliance: Appliance, rig: Rig
) -> Iterator[Instances]:
    """Make instances for one test; they are removed when it ends."""
    mine: list[Container] = []
    request.node.stash[_USED] = mine

    def make(**answers: Json) -> Instance:
        made = rig.instance({**appliance.answers, **answers})
        mine.append(made)
        return made

    yield make
    rig.remove(*mine)


@pytest.fixture
def instance(request: pytest.FixtureRequest) -> Instance:
    """A running instance: the common one, or one of its own for a test marked `answers`."""
    mark = request.node.get_closest_marker("answers")
    if mark is None:
        common: Instance = request.getfixturevalue("common_instance")
        return common
    make: Instances = request.getfixturevalue("instances")
    return make(**mark.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write down what the containers of a failed test said, while they are still there."""
    report = yield
    if report.failed:
        named = getattr(item, "funcargs", {}).values()
        used = [one for one in named if isinstance(one, Container)]
        used += [one for one in item.stash.get(_USED, []) if one not in used]
        rig = item.config.stash[RIG]
        if _wants_world(item):
            used += [one for one in rig.others if one not in used]
        folder = re.sub(r"[^\w.-]+", "-", item.name)
        rig.note_failure(folder, used, report.longreprtext)
    return report


def _wants_world(item: pytest.Item) -> bool:
    return "world" in getattr(item, "fixturenames", ())
