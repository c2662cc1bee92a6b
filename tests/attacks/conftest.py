"""Networks that attacks on them share: those of the tests of networks."""

from tests.integration.network.conftest import a_world, rig  # noqa: F401  # fixtures
