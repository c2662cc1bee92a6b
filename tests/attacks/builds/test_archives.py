"""What an archive from a stranger may cost whoever reads it: little, whatever it counts up to."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from builder.formats.tar import headers
from builder.formats.tar.headers import padding
from tests.support.needs import needs
from tests.support.trees.tar_blocks import END, FIRST, entry, head, notes, sparse

pytestmark = needs("root")

MOST = 64 << 20
"""Bytes of memory that a refusal may cost beyond what the program has before."""

READ = """
import json, resource, sys
from pathlib import Path
from builder.formats.tar import inflate, pour, reader, unpack
from builder.model.errors import OvenError
import zstandard
source, target, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
unpack._MOST_KEPT >>= 5  # or making that many folders would take a minute
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    if way == "template":
        unpack.unpack(source, target)
    elif way == "tarball":
        unpack.newest_time(source, strip=0)
        unpack.unpack_foreign(source, target, strip=0, epoch=0)
    else:
        import os
        from builder.host.trees.copying import CopyManner
        from builder.host.trees.treeio import TreeIO
        target.mkdir()
        fd = os.open(source, os.O_RDONLY)
        with TreeIO(target) as tree:
            pour.read(fd, tree, "/", CopyManner(lambda *_: (0, 0), lambda *_: None, lambda _: None))
    said = ""
except OvenError as error:
    said = f"{type(error).__name__}: {error}"
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([said, (after - before) * 1024]))
"""

WAYS = ["template", "tarball", "stream"]


def long_number() -> Iterator[bytes]:
    size = 1 << 30
    yield notes({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
                 b"GNU.sparse.name": b"x", b"GNU.sparse.realsize": b"9"})  # fmt: skip
    yield head("x", headers.FILE, size)
    yield from (b"7" * (1 << 20) for _ in range(size >> 20))


def many_notes() -> Iterator[bytes]:
    """Notes that are all about the next entry, each with another key."""
    for index in range(1000):
        yield notes({b"SCHILY.xattr.user.%d" % index: b"v" * 500_000})


def many_names() -> Iterator[bytes]:
    for _ in range(1000):
        data = b"n" * 1_000_000
        yield head("name", b"L", len(data)) + data + padding(len(data))


def folders_with_notes() -> Iterator[bytes]:
    for index in range(3000):
        value = {b"SCHILY.xattr.user.%d" % one: b"v" * 30_000 for one in range(8)}
        yield notes(value) + head(f"{index}/", headers.FOLDER, 0)


def folders_in_folders() -> Iterator[bytes]:
    for index in range(5000):
        name = f"{index}/" + "d/" * 190
        yield entry(name, headers.FOLDER)


BOMBS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a table of empty pieces": lambda: iter([sparse(50_000_000)]),
    "a table of many pieces": lambda: iter([sparse(1_000_000, b"1\n0\n", 1 << 40)]),
    "a number without an end": long_number,
    "many notes of one entry": many_notes,
    "many names of one entry": many_names,
    "folders with attributes": folders_with_notes,
    "folders in folders": folders_in_folders,
}


def pack(target: Path, parts: Iterator[bytes], *, first: bytes) -> None:
    with target.open("wb") as file, zstandard.ZstdCompressor(3).stream_writer(file) as out:
        out.write(first)
        for part in parts:
            out.write(part)
        out.write(END)


# A stream's folders are made at once, and forgotten.
TRIED = [(bomb, way) for bomb in BOMBS for way in WAYS if (bomb[:7], way) != ("folders", "stream")]


@pytest.mark.parametrize(("bomb", "way"), TRIED)
def test_what_an_archive_counts_up_to_costs_no_memory(tmp_path: Path, bomb: str, way: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    pack(source, BOMBS[bomb](), first=FIRST if way == "template" else b"")
    argv = (sys.executable, "-c", READ, source, target, way)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said, memory = json.loads(done.stdout)
    assert memory < MOST
    assert said.startswith("TrustError"), said
    assert way == "stream" or not target.exists()


def test_a_file_of_many_pieces_is_written_with_fewer() -> None:
    """What is written keeps to what is read: neighbors become one where there are too many."""
    runs = [(at * 8192, 4096) for at in range(3 * headers.MOST_RUNS)]
    few = headers.few(runs)
    assert len(few) == headers.MOST_RUNS
    assert few[0] == (0, 2 * 8192 + 4096)
    assert sum(few[-1]) == sum(runs[-1])
    assert headers.few(runs[:5]) == runs[:5]
