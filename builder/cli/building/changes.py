"""How the changes between two locks look on a screen."""

from collections.abc import Iterator

from builder.cli.terminal.table import columns
from builder.distros.changes import Changes, PackageChange


def table(changes: Changes) -> Iterator[str]:
    """Give a line for each package, in columns: what happened, name, from, to, and what to note."""
    rows = [_row(change) for change in changes.packages]
    versions = columns([(old, "->", new) for _, _, old, new, _ in rows], gap=1)
    cells = [
        (kind, name, both, notes)
        for (kind, name, _, _, notes), both in zip(rows, versions, strict=True)
    ]
    yield from (f"  {line}" for line in columns(cells))


def summary(changes: Changes) -> str:
    """Say in one line how many packages change, and of which recipe keys."""
    counts = dict(changes.counts())
    security = counts.pop("security", 0)
    parts = [f"{number} {kind}" for kind, number in counts.items()]
    if security:
        parts.append(f"{security} from security")
    if changes.keys:
        parts.append("the recipe changed (" + ", ".join(f"`{key}`" for key in changes.keys) + ")")
    return ", ".join(parts) or "no package changes"


def _row(change: PackageChange) -> tuple[str, str, str, str, str]:
    notes = [
        *(["security"] if change.security else []),
        *(["requested"] if change.requested else []),
        f"in {change.layer}",
    ]
    return (
        change.kind,
        f"{change.name}:{change.arch}",
        change.old or "none",
        change.new or "none",
        ", ".join(notes),
    )
