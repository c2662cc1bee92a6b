"""Databases of rpm that say what no package would."""

import json
import subprocess
from pathlib import Path

from builder.distros.rpm.dnf import HEADERS, PYTHON


def database_of(folder: Path, *names: str) -> Path:
    """Make a database of packages that have only a name; give its file."""
    none: dict[str, list[str]] = {
        kind: [] for kind in ("provides", "requires", "conflicts", "obsoletes", "files")
    }
    rows = [{"name": name, "version": "1-1", "arch": "noarch", **none} for name in names]
    made = subprocess.run(
        [PYTHON, "-I", HEADERS], input=json.dumps(rows).encode(), capture_output=True, check=True
    )
    argv = ["rpmdb", "--dbpath", str(folder)]
    subprocess.run([*argv, "--initdb"], check=True)
    subprocess.run([*argv, "--importdb"], input=made.stdout, check=True)
    return folder / "rpmdb.sqlite"
