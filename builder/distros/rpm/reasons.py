"""Names the packages that nobody has asked for, as dnf has it; run by the host's own Python."""

import sqlite3
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

DEPENDENCY, WEAK_DEPENDENCY = 1, 4
"""Reasons of dnf 4 (libdnf's `TransactionItemReason`)."""
OF_DNF_5 = {"Dependency", "Weak Dependency"}

LAST = """
SELECT rpm.name || '.' || rpm.arch, trans_item.reason
FROM trans_item JOIN rpm USING (item_id) JOIN trans ON trans.id = trans_item.trans_id
WHERE trans.state = 1 AND trans_item.action NOT IN (3, 5, 7, 8, 10)
ORDER BY trans_item.trans_id
"""


def of_dnf_4(path: Path) -> Iterator[str]:
    """Read the history of all that was done; the last word on a package counts."""
    with sqlite3.connect(path) as history:
        reasons = dict(history.execute(LAST))
    yield from (spec for spec, why in reasons.items() if why in {DEPENDENCY, WEAK_DEPENDENCY})


def of_dnf_5(path: Path) -> Iterator[str]:
    """Read the table of what is there."""
    packages = tomllib.loads(path.read_text())["packages"]
    yield from (spec for spec, row in packages.items() if row["reason"] in OF_DNF_5)


def main(folder: Path) -> None:
    """Write the name and architecture of each."""
    for name, read in (("history.sqlite", of_dnf_4), ("packages.toml", of_dnf_5)):
        if (folder / name).exists():
            for spec in read(folder / name):
                sys.stdout.write(f"{spec}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
