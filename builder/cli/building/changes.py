"""How the changes between two locks look on a screen."""

from collections.abc import Iterator

from builder.model.changes import Changes, PackageChange


def table(changes: Changes) -> Iterator[str]:
    """Give a line for each package, in columns: what happened, name, from, to, and what to note."""
    rows = [_row(change) for change in changes.packages]
    widths = [max((len(row[index]) for row in rows), default=0) for index in range(4)]
    for row in rows:
        kind, name, old, new = (
            cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)
        )
        yield f"  {kind}  {name}  {old} -> {new}  {row[4]}".rstrip()


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
