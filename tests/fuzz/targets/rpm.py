"""Metadata of RPM repositories, which not all distributions sign."""

import gzip

import zstandard

from builder.distros.rpm.metadata import Metadata
from tests.fuzz.scratch import scratch
from tests.support.packages.rpm_metadata import PRIMARY, REPOMD

_SUFFIXES = {b"\x1f\x8b": ".gz", b"\x28\xb5": ".zst", b"\xfd7": ".xz", b"BZ": ".bz2"}


def seeds() -> list[bytes]:
    """Give a list of packages, compressed too, and an index."""
    pressed = [gzip.compress(PRIMARY, mtime=0), zstandard.compress(PRIMARY)]
    return [PRIMARY, *pressed, REPOMD.format(ending="").encode()]


def play(data: bytes) -> None:
    """Take the data for the index of a repository if it is like one, else for its packages."""
    with scratch() as folder:
        parts = folder / "repodata"
        parts.mkdir()
        ending = _SUFFIXES.get(data[:2], "")
        told = data if data.startswith(b"<repomd") else REPOMD.format(ending=ending).encode()
        (parts / "repomd.xml").write_bytes(told)
        (parts / f"primary.xml{ending}").write_bytes(data)
        known = Metadata(folder)
        for name in known.names():
            list(known.entries(name))
        _ = known.revision.date
