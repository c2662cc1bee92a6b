"""Instance files: what a template brings for its instances, rendered with what one was told."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.appliance.variables import InstanceVariables
from builder.model.errors import HostError
from builder.model.instance import InstanceFile
from builder.model.interface import Interface

if TYPE_CHECKING:
    from builder.host.trees.treeio import TreeIO

SOURCES = "instance"
"""Where an author has them, beside `overlay`."""
FOLDER = "usr/share/oven/instance"
"""Where a template carries them."""
SUFFIX = ".j2"
_MOST = 2000
_LARGEST = 16 << 20
"""Bytes that all of them may have, before they are rendered and after."""


def read(tree: "TreeIO") -> Mapping[str, tuple[bytes, int]]:
    """Read what a template brings: content and mode by path; it may be anybody's template."""
    found: dict[str, tuple[bytes, int]] = {}
    size = 0
    if not tree.is_dir(FOLDER):
        return found
    for path, status in tree.walk(FOLDER):
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise _refused(f"`/{path}` is no plain file")
        size += status.st_size
        if size > _LARGEST or len(found) == _MOST:
            raise _refused(f"they are more than {_MOST} or larger than {_LARGEST >> 20} MiB")
        data = tree.read_bytes(path, _LARGEST)
        found[path.removeprefix(f"{FOLDER}/")] = data, stat.S_IMODE(status.st_mode) & 0o777
    return found


def has(tree: "TreeIO", path: str) -> bool:
    """Tell whether instances are given a file of that path."""
    return any(tree.exists(f"{FOLDER}/{path.strip('/')}{suffix}") for suffix in ("", SUFFIX))


def files(
    sources: Mapping[str, tuple[bytes, int]], variables: InstanceVariables, interface: Interface
) -> tuple[InstanceFile, ...]:
    """Render all, sorted by path; a template that comes to nothing but white space is no file."""
    from builder.appliance.rendering import render  # those who only read do without

    named = {Path(SOURCES, path): path for path in sources if path.endswith(SUFFIX)}
    rendered = render({source: sources[path][0] for source, path in named.items()}, variables)
    texts = {path: rendered[source] for source, path in named.items()}
    if sum(map(len, texts.values())) > _LARGEST:
        raise _refused(f"they come to more than {_LARGEST >> 20} MiB")
    rights = {one.path.strip("/"): one for one in interface.files}
    made = []
    for path, (data, mode) in sources.items():
        content = texts.get(path, data)
        target = path.removesuffix(SUFFIX)
        if path in texts and not content.strip():
            continue
        said = rights.get(target)
        made.append(
            InstanceFile(
                path=target,
                content=content,
                mode=int(said.mode, 8) if said and said.mode else mode,
                owner=said.owner if said else None,
                group=said.group if said else None,
                own_mode=bool(said and said.mode),
            )
        )
    return tuple(sorted(made, key=lambda one: one.path))


def _refused(problem: str) -> HostError:
    return HostError(
        f"the instance files of this template cannot be used: {problem}",
        hint="whoever made the template has to mend its `instance/`",
    )
