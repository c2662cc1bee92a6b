"""Small containers, as all tests of them begin with."""

from tests.support.containers.fixtures import oven, rig, small, tree  # noqa: F401  # fixtures
