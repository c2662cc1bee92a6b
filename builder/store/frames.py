"""Frames of packed files: where the store has the compressed form of a group of files already.

A note in `frames/` says for a group, by the hash of all that decides its bytes, in which packed
file it lies. The bytes themselves are kept only once, in that file; when it is pruned, the note is
worth nothing and the group is compressed again. Notes are not synced: whatever a power cut leaves
of them is compared with the hashes of the frames before it is used.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

from builder.model.value import Value, canonical
from builder.store import Store


class Frame(Value, frozen=True, array_like=True):
    """A frame by its size and the sha256 of its own bytes."""

    size: int
    sha256: str


class FrameGroup(Value, frozen=True, array_like=True):
    """Consecutive frames in a packed file."""

    name: str
    """The hash of all that decides the bytes of the frames."""
    blob: str
    """The file's sha256, by which the store has it."""
    offset: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class KeptFrames:
    """A kept group, opened."""

    group: FrameGroup
    fd: int


class Frames:
    """Finds kept frames, and gives only those that are what they were."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._open: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in self._open.values():
            if fd is not None:
                os.close(fd)

    def find(self, name: str) -> KeptFrames | None:
        """Look up a group by its name, 64 hex digits."""
        note = self._store.frames(name)
        if note is None:
            return None
        try:
            group = msgspec.json.decode(note, type=FrameGroup)
        except (msgspec.DecodeError, UnicodeDecodeError):
            group = None
        if group is None or group.name != name:
            self._store.forget_frames(name)
            return None
        fd = self._opened(group.blob)
        return None if fd is None else KeptFrames(group, fd)

    def read(self, found: KeptFrames, index: int) -> bytes | None:
        """Give one frame of a group; None, and forgets it, when it is not what it was."""
        before = sum(frame.size for frame in found.group.frames[:index])
        frame = found.group.frames[index]
        data = b""
        with contextlib.suppress(OSError):  # a disk that cannot read it has lost it as well
            data = os.pread(found.fd, frame.size, found.group.offset + before)
        if hashlib.sha256(data).hexdigest() == frame.sha256:
            return data
        self._store.forget_frames(found.group.name)
        with self._lock:
            self._say(self._damage(found))
        return None

    def keep(self, groups: Mapping[str, FrameGroup]) -> None:
        """Note where groups lie; their packed file has been kept before."""
        self._store.note_frames({name: canonical(group) for name, group in groups.items()})

    def _opened(self, sha256: str) -> int | None:
        if sha256 not in self._open:
            blob = self._store.blob(sha256)
            self._open[sha256] = None
            if blob is not None:
                with contextlib.suppress(FileNotFoundError):  # pruned just now
                    self._open[sha256] = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[sha256]

    def _damage(self, found: KeptFrames) -> str:
        """Say what is damaged; a packed file that is must go, and everything in it be made again.

        When the file is fine, it was only the note.
        """
        name, sha256 = found.group.name, found.group.blob
        blob = self._store.blob(sha256)
        if blob is not None:
            with blob.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    return f"damaged in the cache, and made again: `frames/{name[:12]}…`"
            blob.unlink(missing_ok=True)
        return f"damaged in the cache, and made again: `blobs/{sha256[:12]}…`"
