"""What system tests share: one home with templates that are built once."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.host.places import Places
from tests.support.archive import Archive, Mirror, serve
from tests.support.miniature import packages
from tests.support.needs import require
from tests.support.oven import Oven
from tests.support.traces import Traces, left_over


@pytest.fixture(scope="session")
def oven(disk: Path) -> Iterator[Oven]:
    """The command, with a home that all tests share."""
    home = disk / "home"
    oven = Oven(home)
    yield oven
    containers = home / "containers"
    names = sorted(path.name for path in containers.glob("*") if "." not in path.name)
    if names:
        oven("destroy", "--force", *names)
    if Path("/run/systemd/system").is_dir():
        mark = Places(data=home, cache=home, runtime=home, settings=()).mark
        subprocess.run(["systemctl", "stop", f"oven-stop-{mark}"], capture_output=True)


@pytest.fixture(scope="session")
def miniature(disk: Path) -> Iterator[tuple[Archive, Mirror]]:
    """An archive with a system so small that it is built in a second, and its server."""
    archive = Archive.make(disk / "miniature", packages(disk / "packages"))
    with serve(archive.root) as mirror:
        yield archive, mirror


Built = Callable[[str], str]


@pytest.fixture(scope="session")
def installed(venv: Path, oven: Oven) -> Oven:
    """The command as it is installed, wherever the checkout lies."""
    return replace(oven, argv=(str(venv / "bin/oven"),), cwd=Path("/"))


@pytest.fixture(scope="session")
def built(oven: Oven) -> Built:
    """Give a function that builds a shipped template, once, and gives its hash."""
    known: dict[str, str] = {}

    def build(name: str) -> str:
        require("root", "archive")
        if name not in known:
            known[name] = oven.sha256(name)
        return known[name]

    return build


@pytest.fixture
def nothing_left(oven: Oven) -> Iterator[None]:
    """Fail a test that leaves anything on the machine beyond what it asked for."""
    before = Traces.of(oven.home)
    yield
    assert left_over(oven.home, before) == {}


@pytest.fixture
def fresh_name() -> str:
    """A container's name that nobody else on this machine has: cgroups know no homes."""
    return f"t-{os.urandom(4).hex()}"
