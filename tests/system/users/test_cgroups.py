"""Commands of ordinary users run in the cgroup of their container, whose limits they have."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.hosts.ordinary_user import Account
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = [
    needs(
        "root", "archive", "userns", "program:newuidmap", "program:useradd", "program:runc",
        "program:conmon",
    ),
    pytest.mark.usefixtures("nothing_left_of_user"),
]  # fmt: skip

GIVE = """
echo 0 >/sys/fs/cgroup/init.scope/cgroup.procs
for one in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo +$one >/sys/fs/cgroup/cgroup.subtree_control
done
cat /sys/fs/cgroup/cgroup.subtree_control
"""
"""Let the cgroups inside have controllers, as systemd does: the one above may then run nothing."""


@pytest.fixture
def unified(plain: Oven, somebody: Account) -> Iterator[Oven]:
    """The command of a user who sees version 2 cgroups, and has some with controllers."""
    top = Path("/sys/fs/cgroup")
    if (top / "unified").is_dir():
        top /= "unified"
    if not (controllers := (top / "cgroup.subtree_control").read_text().split()):
        pytest.skip("version 2 has no controllers to give away here")
    group = top / f"oven-test-{somebody.uid}-{os.getpid()}-v2"
    session = group / "session"
    for folder in (group, session):
        folder.mkdir()
        for path in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control"):
            os.chown(path, somebody.uid, somebody.uid)
    (group / "cgroup.subtree_control").write_text(f"+{controllers[0]}")
    script = (
        "mount -t cgroup2 none /sys/fs/cgroup"
        f' && echo $$ >/sys/fs/cgroup/{group.name}/session/cgroup.procs && exec "$@"'
    )
    oven = replace(plain, argv=("unshare", "--mount", "sh", "-c", script, "sh", *plain.argv))
    yield oven
    oven("destroy", "--force", "own")
    for folder_, _, _ in os.walk(group, topdown=False):
        Path(folder_).rmdir()


def test_commands_lie_in_the_cgroup_of_their_container(unified: Oven) -> None:
    def place(*words: str) -> str:
        said = text(unified("exec", "own", "--", *words, "cat", "/proc/self/cgroup").stdout)
        return next(line for line in said.splitlines() if line.startswith("0::"))

    unified("run", "--name", "own", "--network", "none", "debian-bookworm")
    assert place() == "0::/.oven"
    assert text(unified("exec", "own", "--", "sh", "-ec", GIVE).stdout).split()
    for words in ((), ("setsid", "--wait")):
        assert place(*words) == "0::/.oven"
