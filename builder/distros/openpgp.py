"""OpenPGP keys: which ones a file holds, by their fingerprints, without a program that knows."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

# RFC 9580, sections 4 (packets) and 6 (armor). Nothing is verified here: whoever trusts a key says
# its fingerprint or has its file, and gpgv checks what it has signed.

_BEGIN = re.compile(rb"-----BEGIN PGP ([A-Z ]+)-----")
_PUBLIC = b"PUBLIC KEY BLOCK"
_PRIMARY, _SECRET, _OF_KEYS = 6, (5, 7), frozenset({2, 6, 10, 12, 13, 14, 17, 21})


class PublicKey(NamedTuple):
    """A primary key with all that belongs to it."""

    fingerprint: str
    data: bytes
    """Its packets, not armored."""


class NoKeyError(ValueError):
    """What was given is no public key; the message says what it is instead."""


def public_keys(data: bytes) -> tuple[PublicKey, ...]:
    """Read the keys of a file, armored or not; raises NoKeyError when it is something else."""
    found: list[PublicKey] = []
    for tag, body, packet in _packets(_without_armor(data)):
        if tag in _SECRET:
            raise NoKeyError("has a private key, which must not be here")
        if tag not in _OF_KEYS or (tag != _PRIMARY and not found):
            raise NoKeyError("is no file of OpenPGP keys")
        if tag == _PRIMARY:
            found.append(PublicKey(_fingerprint(body), packet))
        else:
            found[-1] = PublicKey(found[-1].fingerprint, found[-1].data + packet)
    if not found:
        raise NoKeyError("is no file of OpenPGP keys")
    return tuple(found)


def armored(data: bytes) -> bytes:
    """Write keys as text, for programs such as rpm that take nothing else."""
    checksum = 0xB704CE
    for byte in data:
        checksum ^= byte << 16
        for _ in range(8):
            checksum = checksum << 1 ^ (0x1864CFB if checksum & 0x800000 else 0)
    text = base64.b64encode(data)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    begin, end = (b"-----%s PGP %s-----" % (word, _PUBLIC) for word in (b"BEGIN", b"END"))
    last = b"=" + base64.b64encode((checksum & 0xFFFFFF).to_bytes(3))
    return b"\n".join((begin, b"", *lines, last, end, b""))


def _without_armor(data: bytes) -> bytes:
    if not _BEGIN.search(data):
        return data
    lines = iter(line.rstrip() for line in data.split(b"\n"))
    # Line by line, for a file that begins a thousand blocks and ends none.
    return b"".join(
        _block(begins[1], lines) for line in lines if (begins := _BEGIN.fullmatch(line))
    )


def _block(kind: bytes, lines: Iterator[bytes]) -> bytes:
    """Decode a block whose first line was just read."""
    if kind != _PUBLIC:
        words = kind.decode().lower()
        raise NoKeyError(f"has a {words.removesuffix(' block')}, and no public key")
    body, in_headers = list[bytes](), True
    for line in lines:
        if line == b"-----END PGP %s-----" % kind:
            break
        if not line and in_headers:
            body.clear()
            in_headers = False
        elif not line.startswith(b"="):  # a checksum
            body.append(line)
    else:
        raise NoKeyError("is a damaged file of OpenPGP keys")
    try:
        return base64.b64decode(b"".join(body), validate=True)
    except binascii.Error as error:
        raise NoKeyError("is a damaged file of OpenPGP keys") from error


def _packets(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Give the tag, the body and the whole of each packet."""
    at = 0
    while at < len(data):
        tag, start, length = _header(data, at)
        if start + length > len(data):
            raise NoKeyError("is a damaged file of OpenPGP keys")
        yield tag, data[start : start + length], data[at : start + length]
        at = start + length


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Read the tag of a packet, where its body begins, and how long that is."""
    first = data[at]
    head = data[at + 1 : at + 6].ljust(5, b"\0")
    if first & 0xC0 == 0xC0:
        tag = first & 0x3F
        if head[0] < 192:
            return tag, at + 2, head[0]
        if head[0] < 224:
            return tag, at + 3, (head[0] - 192 << 8) + head[1] + 192
        if head[0] == 255:
            return tag, at + 6, int.from_bytes(head[1:5])
    elif first & 0xC0 == 0x80 and first & 3 < 3:
        size = 1 << (first & 3)
        return first >> 2 & 0x0F, at + 1 + size, int.from_bytes(head[:size])
    raise NoKeyError("is no file of OpenPGP keys")  # nor do keys have parts of unknown length


def _fingerprint(body: bytes) -> str:
    if body[:1] != b"\x04":
        raise NoKeyError("has a key of another version than 4, which gpgv may not know")
    prefix = b"\x99" + len(body).to_bytes(2) if len(body) < 1 << 16 else b""
    return hashlib.sha1(prefix + body, usedforsecurity=False).hexdigest().upper()
