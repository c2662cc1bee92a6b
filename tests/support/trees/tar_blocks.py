"""Entries of tar archives, however absurd."""

import os

from builder.formats.tar import headers
from builder.formats.tar.headers import BLOCK, TarMember, encode, padding
from builder.model.manifest import MANIFEST_PATH
from builder.model.value import canonical
from tests.support.trees.odd_trees import EPOCH, manifest


def entry(name: str, kind: bytes = headers.FILE, data: bytes = b"", **more: object) -> bytes:
    """Write one entry, however absurd, followed by its data."""
    made = TarMember(name=os.fsencode(name), kind=kind, mode=0o755, uid=0, gid=0, mtime=EPOCH)
    made.size = len(data)
    for field, value in more.items():
        setattr(made, field, value)
    return encode(made) + data + padding(len(data))


def symlink(name: str, target: str) -> bytes:
    return entry(name, headers.SYMLINK, link=os.fsencode(target))


def hard_link(name: str, target: str) -> bytes:
    return entry(name, headers.LINK, link=os.fsencode(target))


FIRST = entry(f"./{MANIFEST_PATH}", data=canonical(manifest()))


END = bytes(1024)


def sparse(count: int, piece: bytes = b"0\n0\n", size: int = 0) -> bytes:
    """Write a sparse file with a table of that many pieces (GNU format 1.0)."""
    table = b"%d\n" % count + piece * count
    table += padding(len(table))
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
               b"GNU.sparse.name": b"x", b"GNU.sparse.realsize": b"%d" % size}  # fmt: skip
    return notes(records) + head("x", headers.FILE, len(table)) + table


def head(name: str, kind: bytes, size: int) -> bytes:
    made = TarMember(
        name=name.encode(), kind=kind, mode=0o644, uid=0, gid=0, mtime=EPOCH, size=size
    )
    return encode(made)[:BLOCK]


def notes(records: dict[bytes, bytes]) -> bytes:
    data = b"".join(headers._record(key, value) for key, value in records.items())
    return head("notes", b"x", len(data)) + data + padding(len(data))
