"""Leaks: secrets and identities are found wherever they lie, and nothing else is taken for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.trees.treeio import TreeIO
from builder.model.errors import StageError
from builder.stages.check import Check, LeaksError, check
from builder.stages.tree.leaks import leaks, leaks_at
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs
from tests.support.trees.base_trees import EPOCH

pytestmark = needs("root")

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
PGP = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ==\n-----END PGP PRIVATE KEY BLOCK-----\n"
WIREGUARD = f"[Interface]\nPrivateKey = {'A' * 43}=\nListenPort = 51820\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    return root


@pytest.fixture
def tree(root: Path) -> Iterator[TreeIO]:
    with TreeIO(root) as tree:
        yield tree


def put(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


LEAKS = [
    ("etc/app/tls.key", KEY, "/etc/app/tls.key holds a private key"),
    ("home/me/.ssh/id", KEY, "/home/me/.ssh/id holds a private key"),
    ("usr/local/x.pem", f"junk\n{KEY}", "/usr/local/x.pem holds a private key"),
    ("etc/ssh/ssh_host_rsa_key", KEY, "/etc/ssh/ssh_host_rsa_key holds a private key"),
    ("srv/signing.asc", PGP, "/srv/signing.asc holds a private key"),
    ("etc/wireguard/wg0.conf", WIREGUARD, "/etc/wireguard/wg0.conf holds a private key"),
    ("opt/x.ppk", "PuTTY-User-Key-File-3: ssh-rsa\n", "/opt/x.ppk holds a private key"),
    ("root/age", f"AGE-SECRET-KEY-1{'Q' * 58}\n", "/root/age holds a private key"),
    ("etc/machine-id", "c0ffee\n", "/etc/machine-id is not empty"),
    ("etc/shadow", "root:$y$j9T$x:1::::::\n", "/etc/shadow has a password for `root`"),
    ("etc/shadow", "root:!$6$x:1::::::\n", "/etc/shadow has a password for `root`"),
    ("etc/shadow", "me::1::::::\n", "/etc/shadow lets `me` log in without a password"),
    ("etc/gshadow", "wheel:$6$x::\n", "/etc/gshadow has a password for `wheel`"),
    (
        "var/lib/dbus/machine-id",
        "c0ffee\n",
        "/var/lib/dbus/machine-id would be the same in all containers",
    ),
]


@pytest.mark.parametrize(("path", "text", "leak"), LEAKS)
def test_leaks_are_named(root: Path, tree: TreeIO, path: str, text: str, leak: str) -> None:
    put(root, path, text)
    found = leaks(tree)
    assert list(map(str, found)) == [leak]
    assert leaks_at(tree, path) == found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("usr/share/doc/app/example.key", KEY),  # as published
        ("etc/ssl/cert.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("etc/hostname", "db\n"),  # an overlay's
        ("etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = \nPublicKey = x\n"),
        ("var/lib/dbus/machine-id", ""),
        ("etc/machine-id", ""),
        ("etc/machine-id", "uninitialized\n"),
        ("etc/shadow", "a:*:1::::::\nb:!:1::::::\nc:!*:1::::::\nd:!!:1::::::\n"),
        ("etc/shadow", "root:!unprovisioned:1::::::\n"),
        ("etc/gshadow", "a:*::\nb:!::\nc:::\n"),
    ],
)
def test_what_is_no_secret_is_no_leak(root: Path, tree: TreeIO, path: str, text: str) -> None:
    put(root, path, text)
    assert leaks(tree) == []


def test_nothing_hides_behind_a_link(root: Path, tree: TreeIO) -> None:
    put(root, "srv/shadow", "root:$y$j9T$x:1::::::\n")
    (root / "etc/shadow").symlink_to("/srv/shadow")
    assert list(map(str, leaks(tree))) == ["/etc/shadow has a password for `root`"]


def test_what_is_allowed_stays(kitchen: Kitchen, root: Path) -> None:
    put(root, "opt/app/tests/a.key", KEY)
    put(root, "opt/app/tests/deep/b.key", KEY)
    put(root, "opt/app/tests.key", KEY)
    tree = kitchen.store.keep_tree(root, epoch=EPOCH)
    with pytest.raises(LeaksError) as caught:
        check(Check(tree=tree, allowed=("opt/app/tests",)), kitchen.tools)
    assert caught.value.output == "/opt/app/tests.key holds a private key"
    done = check(Check(tree=tree, allowed=("opt/app",)), kitchen.tools)
    assert len(done.allowed) == 3


def test_a_tree_that_cannot_be_searched_is_refused(kitchen: Kitchen, root: Path) -> None:
    put(root, "etc/machine-id/odd", "")
    (root / "etc/shadow").write_bytes(b"x" * (1 << 21))
    tree = kitchen.store.keep_tree(root, epoch=EPOCH)
    with pytest.raises(StageError, match="cannot be searched"):
        check(Check(tree=tree), kitchen.tools)
