"""Where benchmarks work, and the `oven` that they measure."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(os.environ.get("OVEN_BENCHMARKS", "/var/tmp/oven-benchmarks"))
"""On a real disk; what is in it may be deleted at any time."""

ASIDE = FOLDER / "aside"

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
    """Give an empty folder; what was in it is put aside.

    Nothing is removed between turns: on ext4, files are made several times slower for a while after
    as many were removed, and nobody removes a cache just before a build.
    """
    path = FOLDER / name
    if path.exists():
        ASIDE.mkdir(parents=True, exist_ok=True)
        path.rename(Path(tempfile.mkdtemp(dir=ASIDE)) / path.name)
    path.mkdir(parents=True)
    return path


def tidy() -> None:
    """Remove what was put aside, now and by runs that were broken off."""
    shutil.rmtree(ASIDE, ignore_errors=True)


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
