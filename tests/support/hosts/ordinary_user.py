"""Ordinary users of the machine: accounts with subordinate ids, and `oven` as they run it."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from builder.host.kernel.namespaces import IDS
from builder.host.trees import durable
from tests.support.oven import Oven


@dataclass(frozen=True)
class Account:
    """An account that exists for the time being."""

    name: str
    uid: int


@contextlib.contextmanager
def account(
    name: str, *, uids: tuple[int, ...] = (), gids: tuple[int, ...] = ()
) -> Iterator[Account]:
    """Make an account with ranges of so many subordinate ids each; none by default.

    The name ends so that it is nobody's, even where a killed test has left one.
    """
    name = f"{name}-{os.urandom(3).hex()}"
    none = ("-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")
    home = ("--no-create-home", "--home-dir", "/nonexistent")
    with durable.locked(Path("/run/oven-test-accounts.lock")):  # others may look for ranges, too
        subprocess.run(["useradd", *none, *home, name], check=True)
        for count in uids:
            _add("uids", "/etc/subuid", count, name)
        for count in gids:
            _add("gids", "/etc/subgid", count, name)
    try:
        yield Account(name, pwd.getpwnam(name).pw_uid)
    finally:
        # By force: a process that has ended counts until the first one of this machine reaps it.
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


def _add(kind: str, file: str, count: int, name: str) -> None:
    """Add a range beyond all others, with a gap so that no two are one."""
    ends = [100_000]
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        _, start, length = line.split(":")
        ends.append(int(start) + int(length))
    first = max(ends) + 1_000
    subprocess.run(
        ["usermod", f"--add-sub{kind}", f"{first}-{first + count - 1}", name], check=True
    )


@contextlib.contextmanager
def run_by(user: Account, oven: Oven, disk: Path) -> Iterator[Oven]:
    """Lend the command as a user runs it, with a home of that user's own."""
    home = disk / f"home-{user.name}"
    home.mkdir(mode=0o700)
    os.chown(home, user.uid, user.uid)
    prefix = ("setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--init-groups", "--")
    env = {"HOME": str(home), "USER": user.name, "TMPDIR": "/tmp"}
    try:
        yield replace(oven, home=home, argv=(*prefix, *oven.argv)).having(**env)
    finally:
        shutil.rmtree(home)


def give_packages(oven: Oven, user: Account, source: Path) -> None:
    """Give a user's home the package files of another one, so that the mirror is asked only once.

    What else there is of files (overlays, tarballs) comes along, and does not matter.
    """
    store = oven.home / "cache/v1"
    store.mkdir(parents=True)
    shutil.copytree(source / "cache/v1/blobs", store / "blobs")
    for path in (oven.home / "cache", *(oven.home / "cache").rglob("*")):
        os.chown(path, user.uid, user.uid)


ENOUGH = IDS
"""How many subordinate ids Debian gives a new user."""
