"""The bytes of tar headers: ustar blocks, and PAX records for what these cannot say.

Formats: pax(1) of POSIX.1-2017, and "Storing Sparse Files" of the GNU tar manual.
"""

import struct
from dataclasses import dataclass, field

from builder.formats.tar import acl
from builder.host.overlayfs import notes

BLOCK = 512

FILE, LINK, SYMLINK, CHAR, BLOCK_DEVICE, FOLDER, FIFO = (b"%d" % n for n in range(7))
"""Type flags."""

XATTR = b"SCHILY.xattr."
"""The prefix of the PAX records that carry extended attributes, as star and GNU tar write them."""

Run = tuple[int, int]
"""Where a piece of data starts in a file, and how long it is."""

MOST_RUNS = 1 << 17
"""Pieces of data at most of one sparse file: who reads an archive keeps them in memory."""

CAPABILITY = "security.capability"

LAST_ID = 65535
"""The last user or group id of a template: a container has 65536 of them."""

ATTRIBUTE = 1 << 16
"""Bytes of an extended attribute at most (xattr(7))."""
_ATTRIBUTE_NAME = 255
_NAME_FIELD = 100
_LARGEST = 0o77777777777


@dataclass(slots=True, kw_only=True)
class TarMember:
    """One entry of a tar archive, without its data."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    """Bytes of a file as it is read."""
    runs: list[Run] | None = None
    """Where a sparse file has data; None for a file that is all data."""
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    """The numbers of a device node; those of an overlay's whiteout are zero, and only such are
    written."""
    xattrs: dict[str, bytes] = field(default_factory=dict)


def encode(member: TarMember) -> bytes:
    """Give the blocks that stand before a member's data."""
    name, size, table = member.name, member.size, b""
    records: dict[bytes, bytes] = {}
    for attribute, value in member.xattrs.items():
        key = attribute.encode(errors="surrogateescape").replace(b"%", b"%25")
        records[XATTR + key.replace(b"=", b"%3D")] = value
    if member.runs is not None:
        table = _table(member.runs, size)
        records.update(_sparse_records(member))
        folder, _, base = name.rpartition(b"/")
        name = folder + b"/GNUSparseFile.0/" + base
        size = len(table) + sum(length for _, length in member.runs)
    if len(name) > _NAME_FIELD:
        records[b"path"] = name
    if len(member.link) > _NAME_FIELD:
        records[b"linkpath"] = member.link
    if size > _LARGEST:
        records[b"size"] = b"%d" % size
    notes = _notes(member, records) if records else b""
    return notes + _block(member, name, size if size <= _LARGEST else 0) + table


def few(runs: list[Run]) -> list[Run]:
    """Give no more runs than may be written, by having neighbors be one with what is between."""
    step = -(-len(runs) // MOST_RUNS)
    if step <= 1:
        return runs
    groups = (runs[at : at + step] for at in range(0, len(runs), step))
    return [(group[0][0], sum(group[-1]) - group[0][0]) for group in groups]


def padding(size: int) -> bytes:
    """Give the zeros that fill the last block of data."""
    return bytes(-size % BLOCK)


def of_template(attribute: str) -> bool:
    """Tell whether an attribute belongs to a template: its capability, access, or the user's own.

    The others (labels, overlayfs's notes) are a machine's.
    """
    if attribute in (CAPABILITY, acl.ACCESS, acl.DEFAULT):
        return True
    own = attribute.startswith("user.") and not notes.is_note(attribute)
    length = len(attribute.encode(errors="surrogateescape"))
    return own and len("user.") < length <= _ATTRIBUTE_NAME


def plain_capability(value: bytes) -> bytes | None:
    """Give a file capability as the root user of the first namespace sees it (VFS_CAP_REVISION_2).

    Within a user namespace the kernel stores revision 3, which adds the id of that namespace's
    root user (capabilities(7)); a tree does not know where it will be used. None when it is of
    neither revision, or has a flag that the kernel does not take.
    """
    if len(value) not in (20, 24):
        return None
    (magic,) = struct.unpack_from("<I", value)
    revision, flags = magic & 0xFF000000, magic & 0x00FFFFFF
    if flags > 1:  # but for VFS_CAP_FLAGS_EFFECTIVE the kernel knows none
        return None
    if (revision, len(value)) not in ((0x02000000, 20), (0x03000000, 24)):
        return None
    return struct.pack("<I", 0x02000000 | flags) + value[4:20]


def _sparse_records(member: TarMember) -> dict[bytes, bytes]:
    """Tell of a sparse file in GNU's PAX format 1.0."""
    return {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": member.name,
        b"GNU.sparse.realsize": b"%d" % member.size,
    }


def _table(runs: list[Run], size: int) -> bytes:
    """Write down where the data of a sparse file belongs; a last empty run marks a hole there."""
    runs = runs if runs and sum(runs[-1]) == size else [*runs, (size, 0)]
    numbers = [len(runs), *(number for run in runs for number in run)]
    table = b"".join(b"%d\n" % number for number in numbers)
    return table + padding(len(table))


def _notes(member: TarMember, records: dict[bytes, bytes]) -> bytes:
    """Write the PAX records, as an entry of their own."""
    # POSIX wants `hdrcharset` where a name is not UTF-8, but GNU tar warns of it; readers take such
    # a name as the bytes that it is.
    data = b"".join(_record(key, records[key]) for key in sorted(records))
    base = member.name.rstrip(b"/").rpartition(b"/")[2]
    name = (b"./PaxHeaders/" + base)[:_NAME_FIELD]
    notes = TarMember(name=name, kind=b"x", mode=0o644, uid=0, gid=0, mtime=member.mtime)
    return _block(notes, name, len(data)) + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """Write `LENGTH KEY=VALUE\\n`, where the length counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _block(member: TarMember, name: bytes, size: int) -> bytes:
    numbers = (member.mode, member.uid, member.gid, size, member.mtime)
    before = name[:_NAME_FIELD].ljust(_NAME_FIELD, b"\0")
    before += b"%07o\0%07o\0%07o\0%011o\0%011o\0" % numbers
    after = member.kind + member.link[:_NAME_FIELD].ljust(_NAME_FIELD, b"\0")
    after += b"ustar\x0000" + bytes(64 + 8 + 8 + 167)
    # The checksum is taken as if its own field were eight spaces.
    return b"%b%06o\0 %b" % (before, sum(before) + sum(after) + 8 * 32, after)
