"""Package files that no honest tool makes, and an archive that signs them all the same."""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import zstandard

from tests.support.packages.archive import Archive, Deb

Member = tuple[tarfile.TarInfo, bytes]
"""A member of a tar file, and what is in it."""


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", data: bytes = b""
) -> Member:
    """Give a member of a tar file."""
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size = kind, link, len(data)
    return one, data


def control(name: str, version: str = "1.0", arch: str = "all", fields: str = "") -> bytes:
    """Write a control file."""
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n"
        f"Maintainer: Nobody <nobody@example.invalid>\n{fields}Description: x\n"
    ).encode()


def tar(members: Iterable[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Put members into a tar file as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as made:
        for one, data in members:
            made.addfile(one, io.BytesIO(data))
    return buffer.getvalue()


def write_deb(path: Path, controls: Mapping[str, bytes], data: Iterable[Member] = ()) -> Path:
    """Write a package file of these control files and members."""
    files = [member(f"./{name}", data=text) for name, text in controls.items()]
    folder = member("./", tarfile.DIRTYPE)
    parts = {"control.tar": tar([folder, *files]), "data.tar": tar([folder, *data])}
    return write_parts(path, parts)


def write_parts(path: Path, parts: Mapping[str, bytes]) -> Path:
    """Write a package file of these parts (deb(5))."""
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in ({"debian-binary": b"2.0\n"} | dict(parts)).items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
            file.write(data + b"\n" * (len(data) % 2))
    return path


def bomb(one: tarfile.TarInfo, size: int) -> bytes:
    """Compress a tar file with one file of so many zeros."""
    one.size = size
    press = zstandard.ZstdCompressor().compressobj()

    def pieces() -> Iterator[bytes]:
        yield press.compress(one.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            yield press.compress(bytes(1 << 20))
        yield press.compress(bytes(1024))
        yield press.flush()

    return b"".join(pieces())


def publish(archive: Archive, deb: Deb, hostile: Path) -> None:
    """Put a package into an archive, and sign an index that says of another file that it is it."""
    archive.publish(deb)
    part = archive.part(deb.suite)
    [pool] = part.glob(f"pool/main/{deb.suite}/{deb.name}_*.deb")
    data = hostile.read_bytes()

    def told(index: bytes) -> bytes:
        return b"\n\n".join(map(swapped, index.split(b"\n\n")))

    def swapped(stanza: bytes) -> bytes:
        if f"Package: {deb.name}\n".encode() not in stanza:
            return stanza
        stanza = re.sub(rb"(?m)^(MD5sum|SHA1|SHA512): .*\n", b"", stanza)
        stanza = re.sub(rb"(?m)^Size: .*$", b"Size: %d" % len(data), stanza)
        digest = hashlib.sha256(data).hexdigest().encode()
        return re.sub(rb"(?m)^SHA256: .*$", b"SHA256: " + digest, stanza)

    archive.index(deb.suite, told)
    pool.write_bytes(data)
