"""The tools that Debian's own systems are made with, given exactly the packages of a lock."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from builder.model.lock import Lock
from tests.support.packages.archive import serve

Maker = Callable[[Lock, Path, Path], None]
"""Makes a tree of a lock's packages, from an archive's folder."""


def make_archive(lock: Lock, blobs: Path, folder: Path) -> Path:
    """Make an archive of a lock's packages and of nothing else; it is not signed.

    `blobs` is the folder of a store with the package files.
    """
    pool = folder / "pool"
    for package in lock.packages:
        file = pool / Path(package.path).name
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(blobs / package.sha256[:2] / package.sha256, file)
    release = folder / "dists" / lock.asked.suite
    arches = (lock.asked.arch, *lock.asked.foreign)
    for arch in arches:
        binary = release / f"main/binary-{arch}"
        binary.mkdir(parents=True)
        found = _run("apt-ftparchive", f"--arch={arch}", "packages", "pool", cwd=folder)
        (binary / "Packages").write_bytes(found)
    fields = {
        "Origin": "Debian",
        "Suite": lock.asked.suite,
        "Codename": lock.asked.suite,
        "Architectures": " ".join(arches),
        "Components": "main",
    }
    options = [f"-oAPT::FTPArchive::Release::{name}={text}" for name, text in fields.items()]
    (release / "Release").write_bytes(_run("apt-ftparchive", *options, "release", str(release)))
    return folder


def mmdebstrap(lock: Lock, archive: Path, target: Path) -> None:
    """Make a tree of all packages of a lock with mmdebstrap."""
    hooks = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
    with serve(archive) as mirror:
        _run(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--architectures={','.join((lock.asked.arch, *lock.asked.foreign))}",
            f"--include={_names(lock)}",
            # Since trixie the links of merged /usr come in a package; in bookworm there is one that
            # makes them, and asks for Perl, unless they are there.
            *([hooks] if lock.asked.suite == "bookworm" else []),
            lock.asked.suite,
            str(target),
            f"deb [trusted=yes] {mirror.url} {lock.asked.suite} main",
            SOURCE_DATE_EPOCH=str(lock.epoch),
            FORCE_SOURCE_DATE="1",
        )


def debootstrap(lock: Lock, archive: Path, target: Path) -> None:
    """Make a tree of all packages of a lock with debootstrap."""
    with serve(archive) as mirror:
        _run(
            "debootstrap",
            "--variant=minbase",
            "--no-check-gpg",
            "--merged-usr",
            f"--arch={lock.asked.arch}",
            f"--include={_names(lock)}",
            lock.asked.suite,
            str(target),
            mirror.url,
            SOURCE_DATE_EPOCH=str(lock.epoch),
            FORCE_SOURCE_DATE="1",
        )


TOOLS: Mapping[str, Maker] = {"mmdebstrap": mmdebstrap, "debootstrap": debootstrap}


def _names(lock: Lock) -> str:
    foreign = lock.asked.foreign
    return ",".join(
        f"{one.name}:{one.arch}" if one.arch in foreign else one.name for one in lock.packages
    )


def _run(*argv: str, cwd: Path | None = None, **env: str) -> bytes:
    done = subprocess.run(
        argv,
        cwd=cwd,
        # As in Oven's sandbox: nothing of who runs this, or where, may get into a tree.
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/root", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-8000:]
    return done.stdout
