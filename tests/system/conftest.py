"""What system tests share: a home with templates, which each worker builds once."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.host.places import Places
from tests.support.builds.miniature import packages
from tests.support.hosts.ordinary_user import ENOUGH, Account, account, run_by
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import require
from tests.support.oven import Oven
from tests.support.packages.archive import Archive, Mirror, serve


@pytest.fixture(scope="session")
def oven(session_disk: Path) -> Iterator[Oven]:
    """The command, with a home that all tests share."""
    home = session_disk / "home"
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
def miniature(session_disk: Path) -> Iterator[tuple[Archive, Mirror]]:
    """An archive with a system so small that it is built in a second, and its server."""
    archive = Archive.make(session_disk / "miniature", packages(session_disk / "packages"))
    with serve(archive.root) as mirror:
        yield archive, mirror


PATIENCE = 30.0
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


@pytest.fixture(scope="session")
def somebody() -> Iterator[Account]:
    """An ordinary user of this machine."""
    with account("oven-runner", uids=(ENOUGH,), gids=(ENOUGH,)) as user:
        yield user


@pytest.fixture(scope="session")
def plain(
    oven: Oven, installed: Oven, built: Built, session_disk: Path, somebody: Account
) -> Iterator[Oven]:
    """The command as run by somebody who has been given no cgroup, with a template at hand."""
    built("debian-bookworm")
    folder = session_disk / "for-users"
    folder.mkdir(mode=0o755)
    oven("template", "export", "debian-bookworm", "-o", folder)
    with run_by(somebody, installed, session_disk) as user:
        [tarball] = folder.iterdir()
        user("template", "import", tarball)
        yield user
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def delegated(plain: Oven, somebody: Account) -> Iterator[Oven]:
    """The same in a cgroup that is the user's, as sessions under systemd have it."""
    top = Path("/sys/fs/cgroup")
    if (top / "unified").is_dir():
        top /= "unified"
    group = top / f"oven-test-{somebody.uid}-{os.getpid()}"
    group.mkdir()
    for path in (group, *(group / name for name in ("cgroup.procs", "cgroup.subtree_control"))):
        os.chown(path, somebody.uid, somebody.uid)
    enter = ("sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh")
    yield replace(plain, argv=(*enter, *plain.argv))
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()


@pytest.fixture
def networked(delegated: Oven) -> Oven:
    """The same where everybody may use TUN devices, as on most machines."""
    script = (
        "mount -t tmpfs none /mnt && mknod -m 666 /mnt/tun c 10 200"
        ' && mount --bind /mnt/tun /dev/net/tun && exec "$@"'
    )
    return replace(
        delegated, argv=("unshare", "--mount", "sh", "-c", script, "sh", *delegated.argv)
    )


@pytest.fixture
def nothing_left_of_user(somebody: Account) -> Iterator[None]:
    """Fail a test that leaves processes of the user."""
    yield
    deadline = time.monotonic() + PATIENCE
    while left := processes_of(somebody):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def processes_of(user: Account) -> str:
    argv = ["ps", "-u", str(user.uid), "-o", "stat=,args="]
    lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith("Z"))
