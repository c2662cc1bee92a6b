"""Plumbing that all tests share: marks by folder, and abilities that a machine may lack."""

import signal
from pathlib import Path

import pytest

from tests.support.needs import require

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*abilities): what the machine must have for a test")
    # Who runs the tests in the background ignores Ctrl-C, and so would all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, and put what is quickest to fail first."""
    order = ["unit", "integration", "system"]
    for item in items:
        if (folder := _folder(item)) != "unit":
            item.add_marker(folder)
    items.sort(key=lambda item: order.index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check abilities before any fixture is made."""
    for mark in item.iter_markers("needs"):
        require(*mark.args)
