"""Building: from nothing against mmdebstrap, and again with nothing changed."""

import argparse
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN, PYTHON, empty, install, minimum, needs
from benchmarks.runner import Comparison, Contender, compare, main
from builder.distros.debian.family import DEBIAN
from builder.distros.debian.mirrors import find_mirrors

SUITE = "bookworm"

MERGED = ("--include=usr-is-merged", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
"""Without it mmdebstrap installs the package `usrmerge`, and Perl for it: more work than ours."""


def run(arguments: argparse.Namespace) -> Sequence[Comparison]:
    """Compare whole builds; every cold one downloads all it needs from the same mirror."""
    needs("mmdebstrap")
    install()
    recipe, out = str(minimum()), empty("out")
    again = (OVEN, "build", "--no-probe", recipe)
    build = (*again, "-o", str(out))
    peer = ("mmdebstrap", "--variant=minbase", *MERGED, SUITE, str(out / "peer.tar.zst"))
    cold, warm = {"OVEN_HOME": str(FOLDER / "cold")}, {"OVEN_HOME": str(empty("warm"))}
    subprocess.run(build, env={**os.environ, **warm}, check=True, capture_output=True)
    lock = (OVEN, "lock", "--update", "-o", str(out / "lock"), recipe)
    contests = {
        "build from nothing to tar.zst": [
            Contender("mmdebstrap", (*peer, *sources())),
            Contender("oven build", build, cold, before=_forget),
        ],
        "build again, nothing changed": [
            Contender("python -c pass", (PYTHON, "-c", "pass")),
            Contender("oven build", again, warm),
        ],
        "lock against the archive": [Contender("oven lock --update", lock, warm)],
    }
    found = [
        compare(title, contest, repetitions=arguments.repetitions)
        for title, contest in contests.items()
    ]
    _tell_packages(out)
    return found


def sources() -> tuple[str, ...]:
    """Give lines for apt that name the same mirrors and pockets as Oven takes."""
    mirrors = find_mirrors({})
    lines = [
        f"deb {mirrors[archive][0]} {suite} main"
        for archive, suite in DEBIAN.pockets(SUITE, "amd64")
    ]
    return tuple(lines)


def _tell_packages(out: Path) -> None:
    """Say in what the two differ, since a comparison of different work is none."""
    ours = _packages(next(out.glob("minimum_*.tar.zst")))
    theirs = _packages(out / "peer.tar.zst")
    differing = ", ".join(sorted(ours ^ theirs)) or "none"
    print(f"packages: oven {len(ours)}, mmdebstrap {len(theirs)}; in only one: {differing}\n")


def _packages(archive: Path) -> set[str]:
    data = subprocess.run(["zstd", "-dcq", str(archive)], check=True, capture_output=True).stdout
    (FOLDER / "listed.tar").write_bytes(data)
    with tarfile.open(FOLDER / "listed.tar") as tar:
        status = tar.extractfile("./var/lib/dpkg/status")
        assert status is not None
        text = status.read().decode()
    return {line.split()[1] for line in text.splitlines() if line.startswith("Package:")}


def _forget() -> None:
    """Start over: no package, no tree, no note."""
    empty("cold")


if __name__ == "__main__":
    main(__doc__, run)
