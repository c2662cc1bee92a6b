"""Base trees and small packages for tests of what is done to a tree."""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from builder.model.lock import Package
from builder.store import Store

EPOCH = 1_700_000_000


def make_base(factory: pytest.TempPathFactory) -> Path:
    """Bootstrap a real bookworm with the host's mmdebstrap and its apt sources.

    The first who asks makes it, once for all workers. It is only copied from.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    root = folder / "bookworm-of-mmdebstrap"
    argv = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=systemd-sysv", "bookworm"]
    with (folder / "bookworm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            subprocess.run([*argv, str(root)], check=True, capture_output=True)
    return root


def linked_copy(tree: Path, target: Path) -> Path:
    """Copy a tree, its files as hard links, as the store does."""
    subprocess.run(["cp", "-al", str(tree), str(target)], check=True)
    return target


def make_package(
    folder: Path, store: Store, name: str, *, depends: str = "", files: dict[str, str]
) -> Package:
    """Build a real package into a store; files below `DEBIAN/` are its control files."""
    root = folder / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        (root / path).chmod(0o755 if text.startswith("#!") else 0o644)
    control = {
        "Package": name,
        "Version": "1.0",
        "Architecture": "all",
        "Maintainer": "Nobody <nobody@example.org>",
        **({"Depends": depends} if depends else {}),
        "Description": "a package for tests",
    }
    (root / "DEBIAN").mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{key}: {value}\n" for key, value in control.items())
    (root / "DEBIAN/control").write_text(lines)
    deb = folder / f"{name}_1.0_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(root), str(deb)],
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
    )
    return keep_package(deb, store, name=name)


def keep_package(deb: Path, store: Store, *, name: str) -> Package:
    """Put a package file into a store."""
    data = deb.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    with store.draft() as draft:
        (draft / "deb").write_bytes(data)
        store.keep_blob(draft / "deb", sha256)
    return Package(
        name=name,
        version="1.0",
        arch="all",
        size=len(data),
        sha256=sha256,
        archive="debian",
        path=f"pool/main/{name[0]}/{name}/{deb.name}",
        layer="template",
    )
