"""Where benchmarks work, and the `oven` that they measure."""

import shutil
import sys
from pathlib import Path

FOLDER = Path("/var/tmp/oven-benchmarks")
"""On a real disk; what is in it may be deleted at any time."""

OVEN = str(Path(sys.executable).parent / "oven")
"""The command of the virtual environment that runs this."""

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


def needs(*programs: str) -> None:
    """End with a sentence when a peer is not installed."""
    missing = [one for one in programs if not shutil.which(one)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}; try: apt-get install {' '.join(missing)}")
