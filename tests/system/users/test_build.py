"""An ordinary user builds the bytes that root builds, or is told why not."""

import io
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from tests.support.hosts.ordinary_user import ENOUGH, Account, account, give_packages, run_by
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "archive", "userns", "program:newuidmap", "program:useradd")

RECIPE = """\
[template]
name = "owners"

[base]
distro = "debian"
suite = "bookworm"

[packages]
# Each has files that are not root's, or a bit or a capability that is easily lost.
install = ["attr", "cron", "dbus", "iputils-ping", "libcap2-bin", "man-db", "openssh-client"]

[[user]]
name = "ada"
groups = ["users"]
ssh-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ada"]

[[user]]
name = "keeper"
uid = 59999
system = true

[[script]]
path = "own"
"""

SCRIPT = """\
#!/bin/sh -eu
mkdir -p /srv/kept
cp /bin/true /srv/kept/high
chown 65534:65535 /srv/kept/high
chmod 6755 /srv/kept/high
cp /bin/true /srv/kept/able
setcap cap_net_bind_service=+ep /srv/kept/able
chown ada:ada /srv/kept
ln -s nowhere /srv/kept/link
chown -h keeper /srv/kept/link
setfattr -n user.note -v kept /srv/kept
ln /srv/kept/high /srv/kept/again
mkfifo /srv/kept/fifo
"""

APPLIANCE = """\
from = "owners"

[template]
name = "owners-app"

[[user]]
name = "app"
system = true

[[script]]
path = "more"
"""

MORE = """\
#!/bin/sh -eu
chown app /srv/kept/fifo
chown -R app /etc/app
# The base's files, changed by what stands on it.
chmod g+s /srv/kept
rm /srv/kept/able
"""


@pytest.fixture(scope="module")
def appliance(disk: Path) -> Path:
    """An appliance on a recipe of packages, users and scripts that own things."""
    project = disk / "owners"
    texts = {
        "recipes/owners.toml": RECIPE,
        "recipes/owners/own": SCRIPT,
        "appliances/owners-app/appliance.toml": APPLIANCE,
        "appliances/owners-app/more": MORE,
        "appliances/owners-app/overlay/etc/app/settings.j2": "name = {{ template.name }}\n",
    }
    for name, text in texts.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    return project / "appliances/owners-app/appliance.toml"


@pytest.fixture(scope="module")
def by_root(oven: Oven, appliance: Path) -> str:
    """The hash of what root builds; its lock becomes the project's."""
    expected = oven.sha256("--no-probe", appliance)
    oven("lock", appliance)
    return expected


@pytest.fixture
def nobody_else(installed: Oven, disk: Path) -> Iterator[tuple[Account, Oven]]:
    """A user with what Debian gives a new one, and the command as that user runs it."""
    with (
        account("oven-test-a", uids=(ENOUGH,), gids=(ENOUGH,)) as user,
        run_by(user, installed, disk) as oven,
    ):
        yield user, oven


def test_the_template_has_what_is_easily_lost(oven: Oven, appliance: Path, by_root: str) -> None:
    path = next((oven.home / "cache/v1/blobs").glob(f"*/{by_root}"))
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
    with tarfile.open(fileobj=io.BytesIO(data.read())) as archive:
        found = {member.name.removeprefix("./"): member for member in archive}
    high = found["srv/kept/again"]
    assert (high.uid, high.gid, stat.S_IMODE(high.mode)) == (65534, 65535, 0o6755)
    assert found["srv/kept/high"].linkname == "./srv/kept/again"
    assert found["srv/kept/link"].uid == 59999
    assert found["srv/kept"].pax_headers["SCHILY.xattr.user.note"] == "kept"
    assert stat.S_IMODE(found["srv/kept"].mode) == 0o2755
    assert found["etc/app/settings"].uid == found["srv/kept/fifo"].uid not in {0, 65534}
    assert "SCHILY.xattr.security.capability" in found["usr/bin/ping"].pax_headers
    helper = found["usr/lib/dbus-1.0/dbus-daemon-launch-helper"]
    assert stat.S_IMODE(helper.mode) == 0o4754
    assert len({helper.gid, found["usr/bin/crontab"].gid, found["usr/bin/ssh-agent"].gid, 0}) == 4
    assert found["var/cache/man"].uid not in {0, 65534}
    assert "srv/kept/able" not in found


@pytest.mark.slow
def test_an_ordinary_user_builds_the_same_bytes(
    nobody_else: tuple[Account, Oven], oven: Oven, appliance: Path, by_root: str
) -> None:
    user, as_user = nobody_else
    give_packages(as_user, user, oven.home)
    assert as_user.sha256("--locked", "--no-probe", appliance) == by_root


@pytest.mark.slow
def test_so_does_one_with_other_ranges(
    installed: Oven, disk: Path, oven: Oven, appliance: Path, by_root: str
) -> None:
    # The first range is too small, the second larger than needed, and gids have other numbers.
    with (
        account("oven-test-b", uids=(1000, 3 * ENOUGH), gids=(ENOUGH, 7)) as user,
        run_by(user, installed, disk) as as_user,
    ):
        give_packages(as_user, user, oven.home)
        assert as_user.sha256("--locked", "--no-probe", appliance) == by_root


@pytest.mark.parametrize(
    ("uids", "gids", "file"),
    [
        ((), (), "/etc/subuid"),
        ((ENOUGH,), (), "/etc/subgid"),
        ((ENOUGH - 2,), (ENOUGH,), "/etc/subuid"),
    ],
)
def test_too_few_ids_are_told_with_the_command_that_adds_them(
    installed: Oven,
    disk: Path,
    appliance: Path,
    uids: tuple[int, ...],
    gids: tuple[int, ...],
    file: str,
) -> None:
    with (
        account("oven-test-c", uids=uids, gids=gids) as user,
        run_by(user, installed, disk) as as_user,
    ):
        said = as_user.said("build", "--no-probe", appliance, code=3)
        assert f"`{file}` gives the user `{user.name}` no range" in said
        assert f"usermod --add-sub{file[-3:]}s " in said
        assert not (as_user.home / "cache/v1/trees").exists() or not os.listdir(
            as_user.home / "cache/v1/trees"
        )


def test_the_command_that_is_told_helps(installed: Oven, disk: Path) -> None:
    with (
        account("oven-test-d", uids=(ENOUGH,), gids=(ENOUGH,)),
        account("oven-test-e") as user,
        run_by(user, installed, disk) as as_user,
    ):
        for file in ("/etc/subuid", "/etc/subgid"):
            said = as_user.said("outdated", "no-such-recipe", code=3)
            found = re.search(r"as root: (usermod \S+ \S+ \S+)", said)
            assert found, said
            subprocess.run(found[1].split(), check=True)
            assert not shared(Path(file))
        as_user.said("outdated", "no-such-recipe", code=7)


def shared(file: Path) -> list[tuple[int, int]]:
    """Name neighboring ranges that have ids in common."""
    lines = [line.split(":") for line in file.read_text().splitlines()]
    ranges = sorted((int(first), int(first) + int(count)) for _, first, count in lines)
    return [(one[0], other[0]) for one, other in pairwise(ranges) if other[0] < one[1]]


def test_a_missing_newuidmap_is_told(
    nobody_else: tuple[Account, Oven], appliance: Path, disk: Path
) -> None:
    _, as_user = nobody_else
    empty = disk / "no-programs"
    empty.mkdir(exist_ok=True)
    line = replace(as_user, argv=("/usr/bin/" + as_user.argv[0], *as_user.argv[1:]))
    said = line.having(PATH=str(empty)).said("build", "--no-probe", appliance, code=3)
    assert "newuidmap" in said
    assert "apt-get install uidmap" in said
