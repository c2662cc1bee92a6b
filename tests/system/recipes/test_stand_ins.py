"""Files that a build has stand-ins for: of what scripts do to them, only that is in a template."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

SCRIPT = """\
#!/bin/sh
set -e
grep localhost.localdomain /etc/hosts
echo '10.1.2.3 db' >>/etc/hosts
uname -n >/etc/mailname
chmod 700 /usr/sbin/policy-rc.d
"""


@pytest.fixture
def world(disk: Path) -> Iterator[World]:
    archive = Archive.make(disk / "honest", packages(disk / "honest-packages"))
    with serve(archive.root) as mirror:
        yield small_world(disk / "world", archive, mirror)


def test_a_line_in_etc_hosts(world: World) -> None:
    world.recipe.write_text(world.recipe.read_text() + '\n[[script]]\npath = "add"\n')
    script = world.recipe.parent / "small/add"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    world.oven.said(*world.line[3:])
    tarball = world.out / "small_amd64.tar.zst"
    listed = tar("-tvf", tarball)
    (hosts,) = [line for line in listed.splitlines() if line.endswith(" ./etc/hosts")]
    assert hosts.startswith("-rw-r--r-- ")
    assert tar("-xOf", tarball, "./etc/hosts") == "10.1.2.3 db\n"
    assert tar("-xOf", tarball, "./etc/mailname") == "localhost\n"
    assert "policy-rc.d" not in listed
    assert " ./etc/hostname" not in listed


def tar(option: str, *rest: str | Path) -> str:
    return subprocess.run(["tar", option, *rest], capture_output=True, check=True, text=True).stdout
