"""Recipes as maintainers write them: built, booted, and held against mmdebstrap."""

import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import pytest

from builder.model.lock import Lock
from tests.support.builds.reference_tools import make_archive, mmdebstrap
from tests.support.needs import needs
from tests.support.oven import Oven
from tests.support.trees.modules import drop_signatures
from tests.support.trees.whole_trees import differences, facts_of, owners_by_name

pytestmark = [
    needs("root", "archive", "program:mmdebstrap", "program:apt-ftparchive"),
    needs("program:conmon", "program:runc"),
    pytest.mark.slow,
]

REAL = Path(__file__).parent / "real"
CHECKS = {
    "mail": "systemctl is-active postfix@-.service dovecot rspamd redis-server cron",
    "lamp": "systemctl is-active apache2 mariadb && php -m | grep -q mysqli && mysql -e 'select 1'",
    "ldap": "ldapsearch -xLLL -H ldap://127.0.0.1 -b dc=example,dc=org -s base | grep dc=example",
    "ospack": "su - user -c locale | grep de_DE && locale -a | grep en_US && date +%Z | grep CE",
    "sysvinit": "service cron status && service ssh status",
    "host": "podman --version && ctr --version && crun --version",
    "java": "systemctl is-active tomcat10 && java -version",
    "tex": "kpsewhich article.cls",
    "dkms": "test -s /var/lib/dkms/mok.key && modinfo -k $(ls /lib/modules) v4l2loopback",
    "multiarch": "hello && od -An -tx1 -j4 -N1 /usr/bin/hello | grep -x ' 01'",
    "desktop": "systemctl is-active NetworkManager && firefox-esr --version",
}
"""What shows in a container that it does its work."""
RUNS = [
    pytest.param(name, marks=needs("archive:i386") if name == "multiarch" else ())
    for name in CHECKS
]
MADE = (
    "usr/share/oven*",
    "usr/lib/oven*",
    "usr/lib/systemd/system/oven-*",
    "usr/lib/systemd/system/sysinit.target.wants*",
    "usr/lib/locale/*",
    "usr/lib/python3*/__pycache__*",
    "usr/share/**/__pycache__*",
    "usr/local*",
)
"""What Oven adds below /usr, and what programs make there as they like."""


def test_every_recipe_has_a_check() -> None:
    assert {path.stem for path in REAL.glob("*.toml")} == CHECKS.keys()


@pytest.mark.parametrize("name", RUNS)
def test_it_is_built_and_does_its_work(oven: Oven, fresh_name: str, name: str) -> None:
    said = oven.said("build", REAL / f"{name}.toml")
    assert "not probed" not in said
    oven("run", name, "--name", fresh_name, "--network", "none")
    try:
        oven("exec", fresh_name, "--", "sh", "-ec", CHECKS[name])
    finally:
        oven("destroy", "--force", fresh_name)


@pytest.mark.parametrize("name", RUNS)
def test_it_is_the_tree_of_mmdebstrap(oven: Oven, disk: Path, name: str) -> None:
    """Its programs and what dpkg knows; databases and what else packages make differ by nature."""
    folder = disk / name
    oven("build", "--no-probe", "-o", folder, REAL / f"{name}.toml")
    (file,) = (oven.home / "cache/locks").glob(f"{name}-*.json")
    lock = msgspec.json.decode(file.read_bytes(), type=Lock)
    archive = make_archive(lock, oven.home / "cache/v1/blobs", folder / "archive")
    mmdebstrap(lock, archive, folder / "theirs")
    (tarball,) = folder.glob("*.tar.zst")
    (folder / "ours").mkdir()
    options = ("--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls")
    subprocess.run(["tar", *options, "-xpf", tarball, "-C", folder / "ours"], check=True)
    for one in ("ours", "theirs"):
        drop_signatures(folder / one)
    ours, theirs = (
        owners_by_name(facts_of(folder / one, epoch=lock.epoch), folder / one)
        for one in ("ours", "theirs")
    )
    found = [
        str(one)
        for one in differences(ours, theirs)
        if one.path.startswith(("usr/", "dpkg:"))
        and not any(fnmatchcase(one.path, pattern) for pattern in MADE)
    ]
    shutil.rmtree(folder)
    assert found == []
