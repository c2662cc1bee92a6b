"""Templates and root file systems of strangers, as `oven template import` and `[tarball]` take."""

import gzip
from collections.abc import Callable
from pathlib import Path

import zstandard

from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember, encode, padding
from builder.formats.tar.policy import ArchiveLimits
from builder.formats.tar.unpack import newest_time, read_manifest, unpack, unpack_foreign
from builder.model.errors import OvenError
from builder.model.manifest import MANIFEST_PATH
from builder.model.value import canonical
from tests.fuzz.scratch import scratch
from tests.fuzz.tars import END, entry, summed
from tests.support.trees.odd_trees import ACL, CAPABILITY, manifest


def seeds() -> list[bytes]:
    """Give a template with one of each kind of entry, plain and compressed, and parts of it."""
    first = entry(f"./{MANIFEST_PATH}", data=canonical(manifest()))
    parts = [
        entry("./etc/", headers.FOLDER, xattrs={"system.posix_acl_default": ACL}),
        entry("./etc/hosts", data=b"127.0.0.1 localhost\n", xattrs={"user.note": b"x"}),
        entry("./bin", headers.SYMLINK, link=b"usr/bin"),
        entry("./etc/other", headers.LINK, link=b"./etc/hosts"),
        entry("./usr/ping", data=b"x", xattrs={"security.capability": CAPABILITY}),
        entry("./usr/fifo", headers.FIFO),
        entry("./usr/" + "n" * 200, data=b"long"),
        _sparse(),
    ]
    whole = first + b"".join(parts) + END
    alone = [first + part + END for part in parts]
    return [whole, zstandard.compress(whole), gzip.compress(whole, mtime=0), *alone]


def _sparse() -> bytes:
    member = TarMember(name=b"./s", kind=headers.FILE, mode=0o644, uid=0, gid=0, mtime=0, size=5000)
    member.runs = [(1000, 512), (4000, 512)]
    return encode(member) + bytes(1024) + padding(1024)


def play(data: bytes) -> None:
    """Read a file in each of the ways that there are."""
    with scratch() as folder:
        source = folder / "source"
        source.write_bytes(summed(data) if data[257:262] == b"ustar" else data)
        ways: list[Callable[[Path], object]] = [
            lambda _: read_manifest(source),
            lambda to: unpack(source, to, ArchiveLimits(size=1 << 30)),
            lambda _: newest_time(source, strip=0),
            lambda to: unpack_foreign(source, to, strip=1, epoch=0),
        ]
        for number, read in enumerate(ways):
            try:
                read(folder / str(number))
            except OvenError:
                assert not (folder / str(number)).exists()
