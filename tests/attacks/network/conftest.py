"""Networks that attacks on them share: those of the tests of networks."""

from tests.integration.runtime.network.conftest import a_world, rig  # noqa: F401  # fixtures
