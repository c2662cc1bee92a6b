"""Where two files begin to differ, and how that looks."""

import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO

CONTEXT = 16
"""Bytes that are shown from the first that differs."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class MemberDifference:
    """The first difference of two tarballs."""

    member: str
    """The path in the tarball; empty when only the compressed bytes differ."""
    what: tuple[str, ...]
    offset: int | None
    first: str
    second: str


def first_difference(one: bytes, other: bytes) -> tuple[int, str, str]:
    """Give the offset of the first byte that differs, and what each has from there on."""
    shorter = min(len(one), len(other))
    low = 0
    # Halves are compared at the speed of memcmp(3), where a loop would look at each byte.
    high = shorter
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low, shown(one[low : low + CONTEXT]), shown(other[low : low + CONTEXT])


def shown(data: bytes) -> str:
    """Write bytes as hex digits, with what of them is text beside."""
    if not data:
        return "the end of the file"
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return f"{data.hex(' ')}  |{text}|"


def first_member(one: Path, other: Path) -> MemberDifference:
    """Find the first entry that differs in two compressed tarballs."""
    with ExitStack() as stack:
        left, right = (stack.enter_context(_opened(path)) for path in (one, other))
        for a, b in zip_longest(left, right):
            if a is None or b is None:
                name = (a or b).name
                which = "first" if b is None else "second"
                return MemberDifference(name, (f"only in the {which} build",), None, "", "")
            if (found := _of_member(left, right, a, b)) is not None:
                return found
    offset, first, second = _of_files(one, other)
    return MemberDifference("", ("only how it is compressed",), offset, first, second)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    import zstandard

    reading = zstandard.ZstdDecompressor()
    with (
        path.open("rb") as file,
        reading.stream_reader(file, read_across_frames=True) as reader,
        tarfile.open(fileobj=reader, mode="r|") as archive,
    ):
        yield archive


def _of_member(
    left: tarfile.TarFile, right: tarfile.TarFile, a: tarfile.TarInfo, b: tarfile.TarInfo
) -> MemberDifference | None:
    before: dict[str, object] = dict(a.get_info())
    after: dict[str, object] = dict(b.get_info())
    what = [name for name in sorted(before.keys() - {"chksum"}) if before[name] != after[name]]
    told = tuple(
        f"{name} {_word(name, before[name])} and {_word(name, after[name])}" for name in what
    )
    told += ("xattrs",) if a.pax_headers != b.pax_headers else ()
    if told:
        return MemberDifference(a.name, told, None, "", "")
    if not a.isreg():
        return None
    streams = left.extractfile(a), right.extractfile(b)
    assert streams[0] is not None  # of a regular file there is one
    assert streams[1] is not None
    found = _of_streams(streams[0], streams[1])
    return None if found is None else MemberDifference(a.name, ("content",), *found)


def _word(name: str, value: object) -> str:
    return f"{value:04o}" if name == "mode" and isinstance(value, int) else str(value)


def _of_files(one: Path, other: Path) -> tuple[int | None, str, str]:
    with one.open("rb") as left, other.open("rb") as right:
        return _of_streams(left, right) or (None, "", "")


def _of_streams(left: IO[bytes], right: IO[bytes]) -> tuple[int, str, str] | None:
    at = 0
    for one, other in zip_longest(_pieces(left), _pieces(right), fillvalue=b""):
        if one != other:
            offset, first, second = first_difference(one, other)
            return at + offset, first, second
        at += len(one)
    return None


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece
