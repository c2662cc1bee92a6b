"""Copying between the host and containers, running or not, through the audited way into a tree."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.host.trees import copying, sinks, tarstream
from builder.host.trees.copying import CopyManner, Note
from builder.host.trees.treeio import TreeIO
from builder.model.errors import ConflictError, HostError, NotFoundError, OvenError, RecipeError
from builder.runtime.bundle import lookup, rootfs
from builder.runtime.record import state
from builder.runtime.record.container import IDS, NAME, check_name, load
from builder.runtime.recovery import repair
from builder.runtime.storage import writable

_NOBODY = 65534
"""How the owner of a file shows that a container has no number for; nobody is it by custom."""


@dataclass(frozen=True, slots=True)
class CopyEnd:
    """One end of a copy: a path of the host, or one in a container; `-` is a tar stream."""

    container: str | None
    path: str


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How a person wants it copied."""

    archive: bool = False
    """Owners by number, set-id bits, devices and `user.` attributes are kept."""
    owner: str | None = None
    """Who gets the copies inside: `USER`, `UID`, either with `:GROUP`."""
    note: Note = lambda *_: None
    advance: Callable[[int], None] = lambda _: None
    pour: Callable[[int, TreeIO, str, CopyManner], None] = lambda *_: None
    """Unpacks the tar stream of a descriptor into a folder of a tree."""


def parse(word: str) -> CopyEnd:
    """Read `NAME:PATH` or a path of the host; one that holds a colon is written `./a:b`."""
    name, sign, path = word.partition(":")
    if sign and NAME.fullmatch(name):
        return CopyEnd(check_name(name), path or "/")
    return CopyEnd(None, word)


def copy(places: Places, source: CopyEnd, target: CopyEnd, wish: CopyOptions) -> None:
    """Copy a file or a folder as `cp -r` does; at least one end is a container.

    Mounts the root of a container that does not run, for the rest of this process.
    """
    if source.container is None and target.container is None:
        raise RecipeError(
            "neither of the two is in a container", hint="write one of them as `NAME:PATH`"
        )
    with contextlib.ExitStack() as stack:
        try:
            opened: dict[str | None, _Opened] = {}
            # Always in the same order, or two commands could wait for each other's locks.
            for name in sorted({source.container, target.container}, key=lambda one: one or ""):
                opened[name] = _opened(places, name, stack)
            origin = replace(opened[source.container], end=source)
            goal = replace(opened[target.container], end=target)
            with _told_when_full(places, goal):
                _copy(origin, goal, wish)
        except OSError as error:
            raise _told(error, source, target) from error


@dataclass(frozen=True, slots=True)
class _Opened:
    end: CopyEnd
    tree: TreeIO
    first: int | None
    """The id of the container's root; None on the host."""
    ids: int = IDS
    """How many the container has."""

    def inner(self, uid: int, gid: int) -> tuple[int, int]:
        """Give an owner as the container counts."""
        if self.first is None:
            return uid, gid
        return self._in(uid, self.first), self._in(gid, self.first)

    def outer(self, uid: int, gid: int) -> tuple[int, int]:
        """Give the ids of the host for those that the container counts."""
        if self.first is None:
            return uid, gid
        return tuple(  # type: ignore[return-value]  # of two
            self.first + (one if 0 <= one < self.ids else _NOBODY) for one in (uid, gid)
        )

    def _in(self, number: int, first: int) -> int:
        return number - first if first <= number < first + self.ids else _NOBODY


def _opened(places: Places, name: str | None, stack: contextlib.ExitStack) -> _Opened:
    end = CopyEnd(name, "/")
    if name is None:
        return _Opened(end, stack.enter_context(TreeIO(Path("/"))), None)
    container = load(places, name)
    current = state.read(places, name)
    if current is not None and state.alive(current):
        tree = stack.enter_context(lookup.root_of(name, current.pid))
        if not state.alive(current):
            raise lookup.has_ended(name)
        return _Opened(end, tree, container.first_id, container.ids)
    container = stack.enter_context(repair.holding(places, name)).record
    if state.alive(state.read(places, name)):
        raise ConflictError(f"container `{name}` was started meanwhile")
    rootfs.look_into(rootfs.RootfsSpec(places, container))
    tree = stack.enter_context(TreeIO(places.rootfs))
    return _Opened(end, tree, container.first_id, container.ids)


def _copy(origin: _Opened, goal: _Opened, wish: CopyOptions) -> None:
    manner = _manner(origin, goal, wish)
    manner.step, manner.into = origin.tree.step, goal.tree.step
    with contextlib.closing(manner), _writing_as(goal):
        if goal.end == CopyEnd(None, "-"):
            tarstream.write(1, origin.tree, _path(origin), manner)
        elif origin.end == CopyEnd(None, "-"):
            _refuse_link(goal, _path(goal))
            wish.pour(0, goal.tree, _path(goal), manner)
        else:
            _copy_path(origin, goal, manner)


@contextlib.contextmanager
def _told_when_full(places: Places, goal: _Opened) -> Iterator[None]:
    """Tell a container's own disk, when that is full, from others that are mounted inside."""
    name = goal.end.container
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC or name is None or writable.image_of(places, name) is None:
            raise
        path = _path(goal) if goal.end.path != "-" else "/"
        folder = path if goal.tree.is_dir(path) else path.rstrip("/").rpartition("/")[0]
        if goal.tree.lstat(folder).st_dev != goal.tree.lstat("/").st_dev:
            raise
        raise writable.full(name) from error


def _manner(origin: _Opened, goal: _Opened, wish: CopyOptions) -> CopyManner:
    if wish.owner is not None:
        user = lookup.find_user(goal.tree, wish.owner, goal.ids) if goal.first is not None else None
        if user is None:
            raise RecipeError("`--owner` is for what goes into a container")
        given = goal.outer(user.uid, user.gid)
        return CopyManner(lambda *_: given, wish.note, wish.advance, everything=wish.archive)
    if wish.archive or goal.end.path == "-":
        return CopyManner(
            lambda uid, gid: goal.outer(*origin.inner(uid, gid)),
            wish.note, wish.advance, everything=wish.archive,
        )  # fmt: skip
    mine = goal.outer(0, 0) if goal.first is not None else (os.geteuid(), os.getegid())
    return CopyManner(lambda *_: mine, wish.note, wish.advance)


@contextlib.contextmanager
def _writing_as(goal: _Opened) -> Iterator[None]:
    """Make files as the container's root: a layer of its own has no number for the host's."""
    if goal.first is None:
        yield
        return
    with mounts.file_owner(goal.first):
        yield


def _copy_path(origin: _Opened, goal: _Opened, manner: CopyManner) -> None:
    source, target = _path(origin), _path(goal)
    whole = source.rstrip("/")
    if source.endswith("/.") or not whole.strip("./"):
        # What is in it, without the folder itself.
        _refuse_link(goal, target)
        goal.tree.mkdir(target, owner=manner.owner(*_owner(origin, source)))
        with origin.tree.folder(source) as inner, goal.tree.folder(target) as copied:
            copying.fill(inner, copied, manner)
        return
    if goal.first is None:
        with sinks.opened(target) as sink:
            if sink is not None:
                _write_into(sink, origin, manner)
                return
    name = whole.rpartition("/")[2]
    if not _is_link(origin, whole) or target.endswith("/"):
        _refuse_link(goal, target)
    if not _is_host_link(goal, target) and goal.tree.is_dir(target):
        target = f"{target.rstrip('/')}/{name}"
    elif target.endswith("/"):
        raise NotFoundError(f"there is no folder `{goal.end.path}`{_where(goal)}")
    if source.endswith("/") and not origin.tree.is_dir(source):
        raise RecipeError(f"`{origin.end.path}` is not a folder{_where(origin)}")
    with origin.tree.entry(whole) as one, goal.tree.entry(target) as other:
        copying.copy(one, other, manner)


def _write_into(sink: int, origin: _Opened, manner: CopyManner) -> None:
    with origin.tree.opened(_path(origin)) as file:
        sinks.write(file, sink, manner.advance)


def _refuse_link(goal: _Opened, path: str) -> None:
    """Refuse a link of the host that leads to a folder: a copy that made it chose that folder."""
    path = path.removesuffix("/.").rstrip("/")
    if _is_host_link(goal, path) and goal.tree.is_dir(path):
        raise ConflictError(
            f"`{path}` is a link, which an earlier copy may have brought, and is not followed",
            hint="name the folder that it leads to, or remove the link",
        )


def _is_host_link(goal: _Opened, path: str) -> bool:
    return goal.first is None and _is_link(goal, path)


def _is_link(opened: _Opened, path: str) -> bool:
    try:
        return stat.S_ISLNK(opened.tree.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _owner(origin: _Opened, path: str) -> tuple[int, int]:
    status = origin.tree.lstat(path)
    return status.st_uid, status.st_gid


def _path(opened: _Opened) -> str:
    """Give a path from the root of its tree; on the host it is from the current folder."""
    path = opened.end.path
    if opened.first is None:
        dot = "/." if path.endswith("/.") or path == "." else "/" if path.endswith("/") else ""
        return os.path.abspath(path).rstrip("/") + dot  # noqa: PTH100  # resolve() follows links
    return path if path.startswith("/") else f"/{path}"


def _where(opened: _Opened) -> str:
    return f" in container `{opened.end.container}`" if opened.end.container else ""


def _told(error: OSError, source: CopyEnd, target: CopyEnd) -> OvenError:
    from builder.host.trees.durable import disk_error

    words, goal = _shown(source), _shown(target)
    if (told := disk_error(error)) is not None:
        return told
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"cannot copy {words} to {goal}: one of the two is not there")
    reason = error.strerror or str(error)
    return HostError(f"cannot copy {words} to {goal}: {reason[0].lower()}{reason[1:]}")


def _shown(end: CopyEnd) -> str:
    return f"`{end.path}`" if end.container is None else f"`{end.container}:{end.path}`"
