"""Memory: what each container needs for itself, and what all of one template share."""

import contextlib
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.host.kernel import cgroups, page_cache
from builder.host.kernel.page_cache import PAGE
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import NotFoundError
from builder.model.value import Digest, Value
from builder.runtime.inspect import show
from builder.runtime.record import layout
from builder.runtime.record.container import Container, load, rootfs_of
from builder.runtime.record.layout import cgroup_of
from builder.runtime.resources import usage
from builder.runtime.storage import writable

# A file of a template is in memory once, whichever container has read it: all of them see the same
# inode through mounts of their own, and the page cache belongs to the inode. The proof is in the
# frames: the kernel numbers them, and containers that share one map the same number. What was only
# read, and is not mapped, is there once as well; whose it is nobody can tell, so that it is in no
# container's sum, and what is saved is at least what is said.


class Share(Value, frozen=True, kw_only=True):
    """The memory of one container, in bytes."""

    name: str
    template: str
    digest: Digest
    own: int
    """What no file holds: its programs' data, its tmpfs, the kernel's records of it."""
    files: int
    """The page cache of files that it has changed or added."""
    mapped: int
    """What its processes map of the template's files."""
    shared: int
    """The part of `mapped` that other containers map too: the very same memory."""
    alone: int
    """What it would need if it shared with nobody: `own`, `files` and `mapped`."""


class TemplateMemory(Value, frozen=True, kw_only=True):
    """The memory of one template's files, in bytes."""

    template: str
    digest: Digest
    containers: int
    resident: int
    """What of all its files is in memory, once for all containers."""
    mapped: int
    """What of it any container maps."""
    saved: int
    """What the same containers would need more if each had a copy of what it maps."""


class Report(Value, frozen=True, kw_only=True):
    """The memory of all running containers."""

    containers: tuple[Share, ...]
    templates: tuple[TemplateMemory, ...]
    saved: int
    """By all containers; templates that have files in common share these too."""


def measure(places: Places, names: Sequence[str] = ()) -> Report:
    """Look at the running containers, or at some of them; takes a while for large trees."""
    found, frames = list[tuple[Container, int]](), dict[str, set[int]]()
    for container, pid in _running(places, names):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            frames[container.name] = _frames(places, container, pid)
            found.append((container, pid))
    users = Counter(frame for one in frames.values() for frame in one)
    shared = {
        name: sum(1 for frame in one if users[frame] > 1) * PAGE for name, one in frames.items()
    }
    shares = []
    with usage.reader(places) as read:
        for container, pid in found:
            mapped = len(frames[container.name]) * PAGE
            only = _only(read(container.name, pid).memory)
            files = _files(places, container)
            shares.append(
                Share(
                    name=container.name,
                    template=container.template_name,
                    digest=container.template,
                    own=only,
                    files=files,
                    mapped=mapped,
                    shared=shared[container.name],
                    alone=only + files + mapped,
                )
            )
    templates = tuple(_templates(places, [container for container, _ in found], frames))
    saved = (sum(users.values()) - len(users)) * PAGE
    return Report(containers=tuple(shares), templates=templates, saved=saved)


def _running(places: Places, names: Sequence[str]) -> Iterator[tuple[Container, int]]:
    for name, current in show.running(places):
        if not names or name in names:
            try:
                yield load(places, name), current.pid
            except NotFoundError:
                continue  # destroyed meanwhile, or damaged


def _only(memory: usage.Memory) -> int:
    return (memory.used or 0) - (memory.cache or 0) + (memory.tmpfs or 0)


def _files(places: Places, container: Container) -> int:
    try:
        with writable.opened(places, container) as folder:
            return sum(_resident(folder / part) for part in (layout.UPPER, layout.LAYERS))
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has just ended


def _templates(
    places: Places, containers: Sequence[Container], frames: dict[str, set[int]]
) -> Iterator[TemplateMemory]:
    groups: dict[Path, list[Container]] = {}
    for container in containers:
        groups.setdefault(rootfs_of(places, container), []).append(container)
    for rootfs, group in groups.items():
        sets = [frames[container.name] for container in group]
        mapped = len(set().union(*sets))
        yield TemplateMemory(
            template=group[0].template_name,
            digest=group[0].template,
            containers=len(group),
            resident=_resident(rootfs),
            mapped=mapped * PAGE,
            saved=(sum(map(len, sets)) - mapped) * PAGE,
        )


def _frames(places: Places, container: Container, pid: int) -> set[int]:
    """Find the memory with which a container's processes see files of its template."""
    device = Path(f"/proc/{pid}/root").stat().st_dev
    found: set[int] = set()
    with writable.opened(places, container) as folder, TreeIO(rootfs_of(places, container)) as tree:
        changed = _Changed(folder)
        known: dict[str, bool] = {}

        def of_template(area: page_cache.Area) -> bool:
            if area.path not in known:
                known[area.path] = False
                with contextlib.suppress(OSError):  # a path can be made to lead nowhere
                    known[area.path] = tree.is_file(area.path) and not changed.has(area.path)
            return known[area.path]

        for member in cgroups.everyone(cgroup_of(places, container.name)):
            areas = [area for area in page_cache.areas(member, device) if of_template(area)]
            found |= page_cache.frames(member, areas)
    return found


class _Changed:
    """What a container has in place of its template's files."""

    def __init__(self, folder: Path) -> None:
        layers = folder / layout.LAYERS
        below = sorted(layers.iterdir()) if layers.is_dir() else []
        self._folders = [folder / layout.UPPER, *below]

    def has(self, path: str) -> bool:
        """Tell whether a path is in one of its layers."""
        for folder in self._folders:
            with TreeIO(folder) as tree:
                if tree.exists(path):
                    return True
        return False


def _resident(folder: Path) -> int:
    """Add up what is in memory of all files below a folder; those of two names count once."""
    if not folder.is_dir():
        return 0
    total, seen = 0, set[int]()
    # What a container is, it may change meanwhile, or nest without end: then it counts up to there.
    with contextlib.suppress(OSError), TreeIO(folder) as tree:
        for path, status in tree.walk():
            if not stat.S_ISREG(status.st_mode) or not status.st_size or status.st_ino in seen:
                continue
            if status.st_nlink > 1:
                seen.add(status.st_ino)
            with contextlib.suppress(OSError), tree.opened(path) as fd:
                total += page_cache.cached(fd)
    return total
