"""Looking into a container's root from outside: who a user is, where a command may work."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host.kernel.crossings import CrossingError
from builder.host.trees.treeio import NOTHING, TreeIO
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.numbers import number

# Nothing of the container runs for this and no library of the host reads its files: programs that
# entered a container to look up a user were tricked into loading its code (CVE-2019-14271).

_TABLE_LIMIT = 1 << 24


def has_ended(name: str) -> ConflictError:
    """Tell of a container that was seen to run and has ended since."""
    return ConflictError(
        f"container `{name}` has just ended", hint=f"`oven logs {name}` may tell why"
    )


@contextlib.contextmanager
def root_of(name: str, pid: int) -> Iterator[TreeIO]:
    """Open a running container's root, by its first process; ConflictError when that has ended."""
    try:
        tree = TreeIO(Path(f"/proc/{pid}/root"), seen_by=pid)
    except (FileNotFoundError, ProcessLookupError):
        raise has_ended(name) from None
    with tree:
        try:
            yield tree
        except CrossingError as error:
            where = error.filename
            raise HostError(f"`{where}` in container `{name}`: {error.strerror}") from error


class UserInside(msgspec.Struct, frozen=True):
    """Somebody inside a container, in numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"
    shell: str = "/bin/sh"
    name: str = ""


def find_user(tree: TreeIO, wanted: str, ids: int) -> UserInside:
    """Look up a user or `USER:GROUP`, each by name or number; a number needs no entry.

    The container has so many ids. HostError when a table is there that is no readable file: the OCI
    runtime would wait for it.
    """
    uid, _, group = wanted.partition(":")
    groups = _table(tree, "etc/group", 4)
    gid = _group(groups, group, ids) if group else None
    for fields in _table(tree, "etc/passwd", 7):
        if uid in {fields[0], fields[2]} and _are_ids(ids, fields[2], fields[3]):
            return UserInside(
                uid=int(fields[2]),
                gid=int(fields[3]) if gid is None else gid,
                groups=_groups_of(groups, fields[0], ids) if gid is None else (),
                home=fields[5] if fields[5].startswith("/") else "/",
                shell=fields[6] if fields[6].startswith("/") else "/bin/sh",
                name=fields[0],
            )
    if uid.isdigit():
        return UserInside(uid=_id(uid, ids), gid=gid or 0)
    raise NotFoundError(f"there is no user `{uid}` in the container")


def check_tables(tree: TreeIO) -> None:
    """Refuse tables of users that are there and cannot be read; runc would wait for a fifo."""
    for path, width in (("etc/passwd", 7), ("etc/group", 4)):
        _table(tree, path, width)


def is_folder(tree: TreeIO, path: str) -> bool:
    """Tell whether a path leads to a folder; one on a file system that is not entered does not."""
    try:
        return tree.is_dir(path)
    except CrossingError:
        return False


def check_folder(path: str) -> str:
    """Refuse a working folder that the runtime might look up outside (CVE-2024-21626)."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not path.startswith("/") or ".." in parts or parts[:1] == ["proc"]:
        raise RecipeError(
            f"`{path}` cannot be the working folder", hint="give an absolute path without `..`"
        )
    return path


def _group(rows: list[list[str]], wanted: str, ids: int) -> int:
    for fields in rows:
        if wanted == fields[0] and _are_ids(ids, fields[2]):
            return int(fields[2])
    if wanted.isdigit():
        return _id(wanted, ids)
    raise NotFoundError(f"there is no group `{wanted}` in the container")


def _groups_of(rows: list[list[str]], name: str, ids: int) -> tuple[int, ...]:
    own = (row for row in rows if name in row[3].split(","))
    return tuple(int(row[2]) for row in own if _are_ids(ids, row[2]))


def _table(tree: TreeIO, path: str, width: int) -> list[list[str]]:
    try:
        text = tree.read_bytes(path, _TABLE_LIMIT).decode(errors="replace")
    except OSError as error:
        if error.errno in NOTHING:
            return []
        raise HostError(
            f"`/{path}` in the container cannot be read: {error.strerror or error}",
            hint="while it is like that, no command is run inside; root there has to mend it",
        ) from error
    rows = [line.split(":") for line in text.splitlines()]
    return [row for row in rows if len(row) == width]


def _are_ids(ids: int, *words: str) -> bool:
    return all(number(word, ids - 1) is not None for word in words)


def _id(word: str, ids: int) -> int:
    if not _are_ids(ids, word):
        raise RecipeError(f"`{word}` is no id of a user or group", hint=f"give 0 to {ids - 1}")
    return int(word)
