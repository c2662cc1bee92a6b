"""Where benchmarks work, and the `oven` that they measure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("OVEN_BENCHMARKS", "/var/tmp/oven-benchmarks"))
"""On a real disk; what is in it may be deleted at any time."""

PYTHON = str(FOLDER / "venv/bin/python")
OVEN = str(FOLDER / "venv/bin/oven")
"""Oven as users have it, from `install`: what checks need (mypy's typing_extensions among it) is
imported by others where it is there, and takes a tenth of a start."""

MINIMUM = """\
[template]
name = "minimum"
summary = "What others call minbase"

[base]
distro = "debian"
suite = "bookworm"
"""


def minimum() -> Path:
    """Write a recipe of the same packages as `mmdebstrap --variant=minbase`; give its path."""
    path = FOLDER / "recipes" / "minimum.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINIMUM)
    return path


def empty(name: str) -> Path:
    """Give an empty folder."""
    path = FOLDER / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def install() -> None:
    """Install this checkout in a virtual environment of its own."""
    checkout = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    pip = (PYTHON, "-m", "pip", "install", "--quiet")
    subprocess.run([*pip, checkout], check=True)
    # The version stays the same from one commit to the next, so pip would keep the older one.
    subprocess.run([*pip, "--force-reinstall", "--no-deps", checkout], check=True)


def needs(*programs: str) -> None:
    """End with a sentence when a peer is not installed."""
    missing = [one for one in programs if not shutil.which(one)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}; try: apt-get install {' '.join(missing)}")
