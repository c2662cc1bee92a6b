"""Java's certificates: which ones there are is kept, and when each was added is forgotten."""

import hashlib
import hmac
from collections.abc import Iterator

from builder.host.trees.treeio import TreeIO
from builder.stages.tree.rewriting import rewrite

# Java's own format, JKS, is a list of entries and a digest of it (OpenJDK's JavaKeyStore.java). An
# entry has the time at which it was added, which no variable decides, and their order is that in
# which a folder was read. Whoever has keys in one, or another password, has it left as it is.

FILE = "etc/ssl/certs/java/cacerts"
"""Made by ca-certificates-java of the certificates in /etc/ssl/certs."""

_HEAD = b"\xfe\xed\xfe\xed\x00\x00\x00\x02"
_CERTIFICATE = 2
_PASSWORD = "changeit".encode("utf-16-be")  # Java's default, which everybody knows
_SALT = b"Mighty Aphrodite"
_DIGEST = 20
_MOST = 64 << 20


def forget_times(tree: TreeIO, *, epoch: int) -> None:
    """Give each certificate the epoch as its time, and the list the order of the names."""
    rewrite(tree, FILE, _MOST, lambda data: _settled(data, epoch))


def _settled(data: bytes, epoch: int) -> bytes | None:
    """Give the same store with other times; None where it is not one of certificates alone."""
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    if not body.startswith(_HEAD) or not hmac.compare_digest(_digest(body), digest):
        return None
    try:
        entries = sorted(_entries(body, epoch))
    except (IndexError, ValueError):
        return None
    new = _HEAD + len(entries).to_bytes(4, "big") + b"".join(entries)
    return new + _digest(new)


def _digest(body: bytes) -> bytes:
    return hashlib.sha1(_PASSWORD + _SALT + body, usedforsecurity=False).digest()


def _entries(body: bytes, epoch: int) -> Iterator[bytes]:
    """Give each entry with its time replaced; ValueError for one that is no certificate."""
    at = len(_HEAD)
    count, at = _number(body, at, 4)
    for _ in range(count):
        begin = at
        tag, at = _number(body, at, 4)
        if tag != _CERTIFICATE:
            raise ValueError("a key")
        length, at = _number(body, at, 2)
        name, at = body[begin : at + length], at + length
        at += 8  # milliseconds since 1970
        rest = at
        length, at = _number(body, at, 2)
        length, at = _number(body, at + length, 4)
        at += length
        yield name + (epoch * 1000).to_bytes(8, "big") + body[rest:at]
    if at != len(body):
        raise ValueError("more than it says")


def _number(body: bytes, at: int, size: int) -> tuple[int, int]:
    """Read a number; gives it, and where what follows begins."""
    if at + size > len(body):
        raise ValueError("less than it says")
    return int.from_bytes(body[at : at + size], "big"), at + size
