"""Plumbing that all tests share: marks by folder, and abilities that a machine may lack."""

import fcntl
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

# Names the folder that all workers share, which the process that starts them makes and removes.
SHARED = "OVEN_TEST_SHARED"

# Where pytest puts its folders: on a disk, as containers are, while /tmp may be in memory.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--machine-suite", default="bookworm", help="Debian of the emulated machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*abilities): what the machine must have for a test")
    # Who runs the tests in the background ignores Ctrl-C, and so would all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ[SHARED] = str(_open_folder())


def pytest_unconfigure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ and (folder := os.environ.pop(SHARED, None)):
        shutil.rmtree(folder)


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


def _open_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="oven-test.", dir="/var/tmp"))
    # Ordinary users of some tests have to come through here.
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def session_disk() -> Iterator[Path]:
    """A folder on a real disk: /tmp may be a tmpfs, which has other limits."""
    folder = _open_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """The same for one module: which modules a worker runs decides nothing about their names."""
    folder = _open_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def venv() -> Path:
    """What `pip install` of this project makes, where everybody may read it.

    Gives the folder of a virtual environment, which the first who asks makes for all workers. The
    checkout may lie where only root may look.
    """
    shared = Path(os.environ[SHARED])
    venv = shared / "venv"
    with (shared / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not venv.exists():
            _install(venv)
    return venv


def _install(venv: Path) -> None:
    before = os.umask(0o022)
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        pins = CHECKOUT / ".ci/pins/run.txt"
        subprocess.run([*pip, "--require-hashes", "--requirement", pins], check=True)
        subprocess.run([*pip, "--no-build-isolation", str(CHECKOUT)], check=True)
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)  # nobody takes half of one for the whole
        raise
    finally:
        os.umask(before)
