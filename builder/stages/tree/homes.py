"""Homes: the folders of a tree in which what is new belongs to an account."""

from collections.abc import Mapping

Owner = tuple[int, int]
"""The numbers of an account and of a group."""
Homes = Mapping[str, Owner]
"""Whose a folder is, by its path without the first slash."""
ROOT: Owner = (0, 0)


def owner_below(homes: Homes, path: str) -> Owner:
    """Give whose something new at a path is: the account's in whose home it lies, or root's."""
    parts = path.strip("/").split("/")
    for depth in range(len(parts), 0, -1):
        if (owner := homes.get("/".join(parts[:depth]))) is not None:
            return owner
    return ROOT
