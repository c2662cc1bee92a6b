"""Writes a tree as a reproducible tar.zst: equal trees give equal bytes, anywhere.

The manifest comes first, so that a reader knows what it has before it unpacks anything; then every
folder, followed by what is in it, in the order of the names' bytes. Owners are numbers, no time is
later than the manifest's epoch, and nothing depends on who packs, in which folder, with which
locale, on which file system, or on what was packed before.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder.formats import content
from builder.formats.cuts import FRAME, groups
from builder.formats.frames import (
    FrameWriter,
    MadeFrame,
    WrittenFile,
    compress,
    content_size,
)
from builder.formats.level import LEVEL, compressor_version
from builder.formats.listing import listing
from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember, encode, padding
from builder.formats.tar.policy import RefusedError, check, shown
from builder.model.errors import StageError
from builder.model.manifest import MANIFEST_PATH, Manifest
from builder.model.value import canonical
from builder.store.frames import Frames, KeptFrames
from builder.store.manifest import ROOT, Entry, TreeManifest, as_bytes, list_tree

suffix = ".tar.zst"
"""How the names of such files end."""

ENCODING = 1
"""Raised when equal entries come to mean other bytes, or when another entry may be packed."""

_KINDS: Mapping[str, bytes] = {
    "dir": headers.FOLDER,
    "symlink": headers.SYMLINK,
    "hardlink": headers.LINK,
    "char": headers.CHAR,
    "block": headers.BLOCK_DEVICE,
    "fifo": headers.FIFO,
    "file": headers.FILE,
}

Parts = Callable[[], list[bytes]]
"""Gives the data of one frame."""


@dataclass(frozen=True, slots=True)
class Press:
    """How a tarball is made: only the level shows in its bytes."""

    level: int = LEVEL
    jobs: int = 1
    kept: Frames | None = None
    """Where frames that were made before are found, and where they are noted."""


def pack(
    tree: Path, manifest: Manifest, out: Path, *, level: int = LEVEL, jobs: int = 1
) -> WrittenFile:
    """Write any folder to a file."""
    held = list_tree(tree, epoch=manifest.epoch)
    return write(tree, held, manifest, out, Press(level=level, jobs=jobs))


def write(
    tree: Path, held: TreeManifest, manifest: Manifest, out: Path, press: Press
) -> WrittenFile:
    """Write a tree, whose manifest is known, to a file.

    Raises ChangedError when a file that has to be read is not what the tree's manifest says.
    """
    root = os.fsencode(tree)
    with out.open("wb") as file, FrameWriter(file, jobs=press.jobs) as frames:
        frames.add(partial(compress, [_own(manifest)], press.level))
        for group in groups(listing(held, epoch=manifest.epoch)):
            name = _name(group, press)
            for job in _jobs(root, group, name, press):
                frames.add(job, name)
        frames.add(partial(compress, [bytes(2 * headers.BLOCK)], press.level))
        return frames.finish()


def _own(manifest: Manifest) -> bytes:
    data = canonical(manifest)
    name = b"./" + MANIFEST_PATH.encode()
    member = TarMember(name=name, kind=headers.FILE, mode=0o644, uid=0, gid=0, mtime=manifest.epoch)
    member.size = len(data)
    return encode(member) + data + padding(len(data))


# Groups of entries


def _name(group: Sequence[Entry], press: Press) -> str:
    """Hash all that decides the bytes of a group's frames."""
    facts = [ENCODING, press.level, compressor_version(), group]
    return hashlib.sha256(canonical(facts)).hexdigest()


def _jobs(
    root: bytes, group: Sequence[Entry], name: str, press: Press
) -> list[Callable[[], MadeFrame]]:
    """Give what makes each frame of a group, or copies it."""
    found = press.kept.find(name) if press.kept else None
    if found is None:
        return [partial(_fresh, parts, press.level) for parts in _parts(root, group)]
    again = partial(_parts, root, group)
    return [
        partial(_copied, found, index, again, press) for index in range(len(found.group.frames))
    ]


def _fresh(parts: Parts, level: int) -> MadeFrame:
    return compress(parts(), level)


def _copied(
    found: KeptFrames, index: int, again: Callable[[], list[Parts]], press: Press
) -> MadeFrame:
    data = press.kept.read(found, index) if press.kept else None
    if data is None:
        return _fresh(again()[index], press.level)
    return MadeFrame(data, found.group.frames[index], content_size(data))


def _parts(root: bytes, group: Sequence[Entry]) -> list[Parts]:
    """Plan the frames of a group: one, or several for a large file."""
    if group[0].kind == "file" and group[0].size >= FRAME:
        return _large(root, group[0])
    return [partial(_small, root, group)]


def _small(root: bytes, group: Sequence[Entry]) -> list[bytes]:
    parts: list[bytes] = []
    for entry in group:
        member = _member(entry)
        if member.kind != headers.FILE:
            parts.append(encode(member))
            continue
        data = content.read(root, entry)
        member.runs = content.runs_of(data)
        if member.runs is not None:
            data = b"".join(data[start : start + length] for start, length in member.runs)
        parts += (encode(member), data, padding(len(data)))
    return parts


def _large(root: bytes, entry: Entry) -> list[Parts]:
    member = _member(entry)
    member.runs = content.scan(root, entry)
    runs = [(0, entry.size)] if member.runs is None else member.runs
    pieces = content.pieces_of(runs)
    before = [encode(member), *[b""] * (len(pieces) - 1)]
    after = [*[b""] * (len(pieces) - 1), padding(sum(length for _, length in runs))]

    def parts(index: int) -> list[bytes]:
        return [before[index], *content.read_runs(root, entry, pieces[index]), after[index]]

    return [partial(parts, index) for index in range(len(pieces))]


def _member(entry: Entry) -> TarMember:
    name = b"./" + (b"" if entry.path == ROOT else as_bytes(entry.path))
    kind = _KINDS[entry.kind]
    member = TarMember(
        name=name + b"/" if kind == headers.FOLDER and entry.path != ROOT else name,
        kind=kind,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=max(0, entry.mtime),
        size=entry.size,
    )
    if kind == headers.SYMLINK:
        member.link = as_bytes(entry.content)
    elif kind == headers.LINK:
        member.link = b"./" + as_bytes(entry.content)
    if entry.xattrs and kind != headers.LINK:
        member.xattrs = dict(_xattrs(entry))
    try:
        check(member)
    except RefusedError as why:
        # What no reader would take must not be written either.
        path = shown(as_bytes(entry.path))
        raise StageError(f"the tree cannot be packed: `/{path}` {why}") from why
    return member


def _xattrs(entry: Entry) -> Iterator[tuple[str, bytes]]:
    for name, text in entry.xattrs:
        value = bytes.fromhex(text)
        if name == headers.CAPABILITY:
            yield name, headers.plain_capability(value) or value
        elif headers.of_template(name):
            yield name, value
