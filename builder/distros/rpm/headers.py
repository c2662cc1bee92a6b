"""Turns descriptions of packages into package headers; a program for the host's own Python.

Only rpm can write what rpm reads, and its module comes with the host's interpreter, not with ours.
"""

import json
import sys

import rpm  # type: ignore[import-not-found]  # of the host's interpreter

FLAGS = {
    "LT": rpm.RPMSENSE_LESS,
    "GT": rpm.RPMSENSE_GREATER,
    "EQ": rpm.RPMSENSE_EQUAL,
    "LE": rpm.RPMSENSE_LESS | rpm.RPMSENSE_EQUAL,
    "GE": rpm.RPMSENSE_GREATER | rpm.RPMSENSE_EQUAL,
}
RELATIONS = ("provides", "requires", "conflicts", "obsoletes")


def header(package: dict[str, object]) -> object:
    """Make the header of a package that is taken to be installed."""
    made = rpm.hdr()
    evr = str(package["version"])
    epoch, _, rest = evr.rpartition(":")
    version, _, release = rest.rpartition("-")
    made["name"], made["version"], made["release"] = package["name"], version, release
    made["arch"], made["os"] = package["arch"], "linux"
    if epoch:
        made["epoch"] = int(epoch)
    for kind in RELATIONS:
        # Conditions in brackets matter when a package is chosen, which these have been.
        rows = [row for row in package[kind] if not row[0].startswith("(")]  # type: ignore[attr-defined]
        if rows:
            tag = kind[:-1].upper()
            made[getattr(rpm, f"RPMTAG_{tag}NAME")] = [row[0] for row in rows]
            made[getattr(rpm, f"RPMTAG_{tag}FLAGS")] = [FLAGS.get(row[1], 0) for row in rows]
            made[getattr(rpm, f"RPMTAG_{tag}VERSION")] = [row[2] for row in rows]
    if files := package["files"]:
        parts = [path.rpartition("/") for path in files]  # type: ignore[attr-defined]
        folders = sorted({f"{folder}/" for folder, _, _ in parts})
        made[rpm.RPMTAG_BASENAMES] = [name for _, _, name in parts]
        made[rpm.RPMTAG_DIRNAMES] = folders
        made[rpm.RPMTAG_DIRINDEXES] = [folders.index(f"{folder}/") for folder, _, _ in parts]
    return made


def main() -> None:
    """Read a list of descriptions as JSON and write a header for each."""
    out = rpm.fd(sys.stdout)
    for package in json.load(sys.stdin):
        header(package).write(out)  # type: ignore[attr-defined]
    out.flush()


if __name__ == "__main__":
    main()
