"""Where a tarball's frames are cut: by what is near, so that a change moves no cut far away."""

from collections.abc import Iterator, Sequence
from zlib import crc32

from builder.formats.tar.headers import BLOCK
from builder.store.manifest import Entry, as_bytes

# A frame ends between entries. Among the entries after which it would hold between SMALLEST and
# LARGEST, the one whose path has the smallest hash is the last. Which one that is depends on a few
# hundred paths around it, and hardly ever on where the frame began: after a change, the cuts fall
# back to where they were within a frame or two. That is how content-defined chunking works, with
# names instead of data, so that no data has to be read to know the cuts.

FRAME = 4 << 20
"""Bytes that a frame holds on average, and from which a file has frames of its own: smaller ones
cost size, larger ones keep cores waiting."""

SMALLEST = FRAME // 2
LARGEST = FRAME + SMALLEST


def groups(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut entries, in a tarball's order, into groups; a large file is a group of its own.

    The groups depend on the entries' paths, kinds and sizes, and on nothing else.
    """
    sizes = [_size(entry) for entry in entries]
    start = 0
    while start < len(entries):
        end = start + 1 if sizes[start] >= FRAME else _end(entries, sizes, start)
        yield entries[start:end]
        start = end


def _end(entries: Sequence[Entry], sizes: Sequence[int], start: int) -> int:
    """Say before which entry a group of small files ends."""
    held, best, smallest = 0, start, 1 << 32
    for at in range(start, len(entries)):
        held += sizes[at]
        if sizes[at] >= FRAME:
            return at
        if held > LARGEST:
            return best
        if held >= SMALLEST and (value := crc32(as_bytes(entries[at].path))) < smallest:
            best, smallest = at + 1, value
    return len(entries)


def _size(entry: Entry) -> int:
    return BLOCK + (-(-entry.size // BLOCK) * BLOCK if entry.kind == "file" else 0)
