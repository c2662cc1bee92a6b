"""Tar archives: entries for seeds, and sums of headers put right in what was made of them.

With them, random bytes come further than to the first header.
"""

import os
import re

from builder.formats.tar import headers
from builder.formats.tar.headers import BLOCK, TarMember, encode, padding

END = bytes(2 * BLOCK)


def entry(name: str, kind: bytes = headers.FILE, data: bytes = b"", **more: object) -> bytes:
    """Write one entry, followed by its data."""
    made = TarMember(name=os.fsencode(name), kind=kind, mode=0o755, uid=0, gid=0, mtime=1)
    made.size = len(data)
    for field, value in more.items():
        setattr(made, field, value)
    return encode(made) + data + padding(len(data))


def summed(data: bytes) -> bytes:
    """Give a tar with sound checksums in all headers that a reader would come to."""
    mended, at = bytearray(data), 0
    while at + BLOCK <= len(mended):
        block = mended[at : at + BLOCK]
        if any(block):
            block[148:156] = b" " * 8
            mended[at + 148 : at + 156] = b"%06o\0 " % sum(block)
        digits = re.match(rb"[0-7]*", bytes(block[124:136]))
        size = int(digits[0] or b"0", 8) if digits else 0
        at += BLOCK + size + -size % BLOCK
    return bytes(mended)
