"""The disk of a machine: a template, Oven installed in it from this checkout, and a key."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.oven import CHECKOUT

PINS = ".ci/pins/run.txt"
INSTALL = """
set -euo pipefail
mkdir /opt/oven
tar -xzC /opt/oven
cd /opt/oven
me=machine
. .ci/setup.sh
need_venv run
ln -s /opt/oven/.venv/bin/oven /usr/local/bin/oven
"""
"""What `./quickstart` does once its packages are there, in the folder of a fresh clone."""

PYTHON = "import sys; print('%s.%s' % sys.version_info[:2])"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


@dataclass(frozen=True)
class Disk:
    """What a machine boots from: an image, and beside it kernel, initramfs and a key."""

    folder: Path

    @classmethod
    def make(cls, tarball: Path, folder: Path) -> "Disk":
        """Make the disk of a template in an empty folder."""
        tree = folder / "tree"
        tree.mkdir()
        run("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xf", tarball, "-C", tree)
        install(tree)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        # The machine and who asks it have the same key: both are thrown away together.
        shutil.copy(folder / "key.pub", tree / "etc/ssh/authorized_keys")
        for end in ("", ".pub"):
            shutil.copy(folder / f"key{end}", tree / f"etc/ssh/ssh_host_ed25519_key{end}")
        for name in ("vmlinuz", "initrd.img"):
            (found,) = (tree / "boot").glob(f"{name}-*")
            shutil.copy(found, folder / name)
        run("mkfs.ext4", "-q", "-d", tree, folder / "disk", "10G")
        shutil.rmtree(tree)
        return cls(folder)


def install(tree: Path) -> None:
    """Install this checkout in the tree of a machine, which is quicker than in the machine.

    What it needs of others is brought along, in case that only this machine can be served.
    """
    asked = run("chroot", tree, "python3", "-c", PYTHON)
    target = [f"--python-version={asked.decode().strip()}", "--only-binary=:all:"]
    target += [f"--platform={platform}" for platform in PLATFORMS]
    wheels = tree / "root/wheels"
    pip = (CHECKOUT / ".venv/bin/python", "-m", "pip", "--quiet", "--no-input")
    pins = ("--no-deps", "--require-hashes", "--requirement", CHECKOUT / PINS)
    run(*pip, "download", "--dest", wheels, *target, *pins)
    files = run(
        "git", "-C", CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    )
    packed = run("tar", "-czC", CHECKOUT, "--null", "-T", "-", stdin=files)
    only = (
        "PIP_NO_INDEX=1",
        "PIP_FIND_LINKS=/root/wheels",
        "HOME=/root",
        "PATH=/usr/bin:/usr/sbin",
    )
    run("env", "-i", *only, "chroot", tree, "bash", "-c", INSTALL, stdin=packed)


def run(*argv: str | Path, stdin: bytes = b"") -> bytes:
    """Run a program of this machine to its end, and give its output."""
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=600)
    assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
    return done.stdout
