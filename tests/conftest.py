"""Plumbing that all tests share: marks by folder, and abilities that a machine may lack."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import require
from tests.support.oven import CHECKOUT

HERE = Path(__file__).parent

# Where pytest puts its folders: on a disk, as containers are, while /tmp may be in memory.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--machine-suite", default="bookworm", help="Debian of the emulated machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*abilities): what the machine must have for a test")
    # Who runs the tests in the background ignores Ctrl-C, and so would all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder and what it needs, and say in which order they run."""
    order = ["unit", "attacks", "integration", "system", "machine"]
    if "PYTEST_XDIST_WORKER" in os.environ:
        order.reverse()  # with several workers, the longest files begin first
    for item in items:
        if (folder := _folder(item)) != "unit":
            item.add_marker(folder)
        if any("archive" in mark.args for mark in item.iter_markers("needs")):
            item.add_marker("far")
    # Alone, what is quickest to fail comes first.
    items.sort(key=lambda item: order.index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check abilities before any fixture is made."""
    for mark in item.iter_markers("needs"):
        require(*mark.args)


@pytest.fixture(scope="session")
def disk() -> Iterator[Path]:
    """A folder on a real disk: /tmp may be a tmpfs, which has other limits."""
    folder = Path(tempfile.mkdtemp(prefix="oven-test.", dir="/var/tmp"))
    # Ordinary users of some tests have to come through here.
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def venv(disk: Path) -> Path:
    """What `pip install` of this project makes, where everybody may read it.

    Gives the folder of a virtual environment. The checkout may lie where only root may look.
    """
    venv = disk / "venv"
    before = os.umask(0o022)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    pins = CHECKOUT / ".ci/pins/run.txt"
    subprocess.run([*pip, "--require-hashes", "--requirement", pins], check=True)
    subprocess.run([*pip, "--no-build-isolation", str(CHECKOUT)], check=True)
    os.umask(before)
    return venv
