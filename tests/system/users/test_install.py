"""Installed as a package, and used by an ordinary user from any folder."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "userns", "program:newuidmap")


@dataclass(frozen=True)
class User:
    """An account that exists as long as the tests of this file."""

    name: str
    uid: int


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    name = f"oven-test-{os.getpid()}"
    subprocess.run(["useradd", "--no-create-home", "--home-dir", "/nonexistent", name], check=True)
    assert f"{name}:" in Path("/etc/subuid").read_text()
    yield User(name, pwd.getpwnam(name).pw_uid)
    subprocess.run(["userdel", name], check=True)


@pytest.fixture
def as_user(installed: Oven, user: User, disk: Path) -> Iterator[Oven]:
    """The installed command, run by the ordinary user."""
    home = disk / f"home-{user.name}"
    home.mkdir(mode=0o700)
    os.chown(home, user.uid, user.uid)
    prefix = ("setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--init-groups", "--")
    env = {"HOME": str(home), "USER": user.name, "TMPDIR": "/tmp"}
    yield replace(installed, home=home, argv=(*prefix, *installed.argv)).having(**env)
    shutil.rmtree(home)


def test_the_shipped_recipes_are_found_from_any_folder(installed: Oven) -> None:
    assert text(installed("--version").stdout).startswith("oven ")
    said = installed.said("build", "debian-bokworm", code=7)
    assert "did you mean `debian-bookworm`" in said


def test_an_ordinary_user_builds_the_same_bytes_and_runs_them(
    as_user: Oven, built: Built, oven: Oven
) -> None:
    expected = built("debian-bookworm")
    locks = as_user.home / "cache/locks"
    owner = as_user.home.stat().st_uid
    shutil.copytree(oven.home / "cache/locks", locks)
    # The packages are given along, so that the mirror is asked for them only once.
    blobs = as_user.home / "cache/v1/blobs"
    shutil.copytree(oven.home / "cache/v1/blobs", blobs)
    for path in (as_user.home / "cache", *(as_user.home / "cache").rglob("*")):
        os.chown(path, owner, owner)
    assert as_user.sha256("debian-bookworm") == expected
    run = ("run", "--network", "none", "debian-bookworm", "--", "id", "-u")
    assert as_user(*run).stdout == b"0\n"
