"""What the stages are tried with."""

from pathlib import Path

import pytest

from tests.support.builds.kitchen import Kitchen
from tests.support.trees.base_trees import make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory)


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Kitchen:
    """Lend its store to the others, so that the base is hashed once."""
    return Kitchen.new(tmp_path_factory.mktemp("first"), base)


@pytest.fixture
def kitchen(tmp_path: Path, first: Kitchen) -> Kitchen:
    return Kitchen(tmp_path, first.store, first.base)
