"""The one machine that all tests here share: made by Oven, booted once."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts.machine import Machine, boot
from tests.support.hosts.machine_disk import Disk
from tests.support.needs import require
from tests.support.oven import CHECKOUT, Oven

RECIPE = Path(__file__).parent / "host.toml"
GUEST = "debian-bookworm"
TARBALL = "/srv/guest.tar.zst"


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Iterator[Machine]:
    """A Debian host with Oven and the template `debian-bookworm`; its console is kept beside it."""
    require("root", "archive", "program:qemu-system-x86_64", "program:mkfs.ext4", "program:ssh")
    suite = pytestconfig.getoption("--machine-suite")
    # In the checkout's cache: the templates cost more than all tests.
    oven = Oven(CHECKOUT / "cache/machine")
    folder = Path(tempfile.mkdtemp(prefix="oven-machine.", dir="/var/tmp"))
    try:
        build = ("build", "--no-probe", "--json", "-o", folder)
        oven(*build, "--only", f"suite={suite}", RECIPE)
        oven(*build, GUEST)
        disk = Disk.make(folder / f"host-{suite}_amd64.tar.zst", folder)
        with boot(disk) as machine:
            machine.put(folder / f"{GUEST}_amd64.tar.zst", TARBALL)
            machine.run(f"oven template import {TARBALL}")
            yield machine
    finally:
        console = folder / "console"
        if console.exists():
            shutil.copy(console, oven.home / f"console-{suite}")
        shutil.rmtree(folder)


@pytest.fixture
def name(machine: Machine) -> Iterator[str]:
    """A name for a container of one test, which is gone after it."""
    name = f"t-{os.urandom(3).hex()}"
    yield name
    machine.run(f"oven destroy --force {name}", code=None)


def shown(machine: Machine, name: str, *, user: str = "root") -> dict[str, object]:
    """Give what `oven show` tells of a container."""
    value: dict[str, object] = json.loads(machine.run(f"oven show {name} --json", user=user).out)
    return value
