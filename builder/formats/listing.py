"""What a tarball holds of a tree, in the order in which it comes."""

from collections.abc import Sequence

import msgspec

from builder.model.errors import StageError
from builder.model.manifest import MANIFEST_PATH
from builder.store.manifest import ROOT, Entry, TreeManifest, as_bytes, in_order


def listing(held: TreeManifest, *, epoch: int) -> list[Entry]:
    """List a tree without sockets, which mean nothing without their process, and the manifest.

    The folders above the manifest are there in any case; no time is later than the epoch.
    """
    found = {entry.path: entry for entry in held.entries if entry.kind != "socket"}
    found.pop(MANIFEST_PATH, None)
    parts = MANIFEST_PATH.split("/")
    for path in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
        if found.setdefault(path, _folder(path, epoch)).kind != "dir":
            raise StageError(f"the tree cannot be packed: `/{path}` must be a folder")
    ordered = sorted(found.values(), key=_place)
    if any(entry.mtime > epoch for entry in ordered):
        ordered = [
            msgspec.structs.replace(entry, mtime=min(entry.mtime, epoch)) for entry in ordered
        ]
    return _linked(ordered, held.entries)


def _folder(path: str, epoch: int) -> Entry:
    return Entry(
        path=path, kind="dir", mode=0o755, uid=0, gid=0, mtime=epoch, size=0, content="", xattrs=()
    )


def _place(entry: Entry) -> bytes:
    return b"" if entry.path == ROOT else in_order(as_bytes(entry.path))


def _linked(ordered: Sequence[Entry], held: Sequence[Entry]) -> list[Entry]:
    """Have the first path of a file with several names be the file, and the others its links."""
    origins = {entry.content for entry in ordered if entry.kind == "hardlink"}
    files = {entry.path: entry for entry in held if entry.path in origins}
    first: dict[str, str] = {}
    found = []
    for entry in ordered:
        origin = entry.content if entry.kind == "hardlink" else entry.path
        if origin not in files:
            found.append(entry)
            continue
        path = first.setdefault(origin, entry.path)
        if path == entry.path:
            file = msgspec.structs.replace(files[origin], path=path, mtime=entry.mtime)
            found.append(file)
        else:
            found.append(msgspec.structs.replace(entry, kind="hardlink", size=0, content=path))
    return found
