"""Relations: what a package says of the versions of others (Debian Policy 7.1)."""

import re
from collections.abc import Iterator

_NEED = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]+)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?"
)

Need = tuple[str, str, str]
"""A name, a relation and a version; the last two are empty if any version will do."""


def clauses(field: str) -> Iterator[list[Need]]:
    """Give each thing that is needed, with its alternatives."""
    for clause in field.split(","):
        found = (_NEED.match(one) for one in clause.split("|"))
        needs = [(one[1], one[2] or "", one[3] or "") for one in found if one]
        if needs:
            yield needs


def satisfies(version: str, relation: str, wanted: str) -> bool:
    """Tell whether a version is what a relation wants."""
    order = compared(version, wanted) if relation else 0
    return {
        "": True,
        "<<": order < 0,
        "<=": order <= 0,
        "=": order == 0,
        ">=": order >= 0,
        ">>": order > 0,
    }[relation]


def compared(one: str, other: str) -> int:
    """Compare two versions (deb-version(7)); what is none, as text."""
    from debian_inspector.version import compare_versions  # slow to import

    try:
        return int(compare_versions(one, other))
    except ValueError:
        return (one > other) - (one < other)
