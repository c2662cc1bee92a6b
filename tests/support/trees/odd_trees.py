"""A tree of all that is odd about files, for those who write trees down and read them back."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from builder.model.manifest import Manifest
from builder.model.recipe import Arch
from builder.model.value import digest_of

EPOCH = 1_700_000_000
HOLE = 64 << 20
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in (
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 7, 1000),
        (0x04, 4, 0xFFFFFFFF),
        (0x08, 5, 65535),
        (0x10, 7, 0xFFFFFFFF),
        (0x20, 4, 0xFFFFFFFF),
    )
)
"""u::rw-,u:1000:rwx,g::r--,g:65535:r-x,m::rwx,o::r--"""

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""cap_net_raw=ep, as setcap writes it for ping."""


def manifest(name: str = "odd") -> Manifest:
    return Manifest(
        name=name,
        summary="a tree of oddities",
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        epoch=EPOCH,
        recipe=digest_of("recipe"),
        lock=digest_of("lock"),
        packages=(),
        oven="0",
    )


def make_odd_tree(root: Path, *, backwards: bool = False, umask: int = 0o022) -> Path:
    """Make the tree; neither the order nor the umask may show in what is packed."""
    before = os.umask(umask)
    try:
        root.mkdir()
        files = list(_files())
        for path, data, mode in reversed(files) if backwards else files:
            file = root / os.fsdecode(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(mode)
        _make_special(root)
        _set_modes_and_times(root)
    finally:
        os.umask(before)
    return root


def _files() -> Iterator[tuple[bytes, bytes, int]]:
    yield b"etc/hosts", b"127.0.0.1 localhost\n", 0o644
    yield b"etc/shadow", b"root:*\n", 0o640
    yield b"usr/bin/su", b"setuid", 0o4755
    yield b"usr/bin/ping", b"capable", 0o755
    yield b"usr/share/empty", b"", 0o600
    yield b"usr/share/caf\xe9", b"latin-1", 0o644
    yield "usr/share/größe".encode(), b"utf-8", 0o644
    yield b"usr/share/" + b"n" * 255, b"long", 0o644
    yield b"usr/share/" + b"\xff" * 255, b"long and not UTF-8", 0o644
    yield b"usr/" + b"/".join([b"deep"] + [b"deep" * 20] * 10) + b"/file", b"deep", 0o644
    yield b"usr/share/big", bytes(range(256)) * (40 << 10), 0o644
    yield b"usr/a-b", b"sorts between a and a/b", 0o644
    yield b"usr/a/b", b"", 0o644
    yield b"usr/new\nline", b"", 0o644
    yield b"usr/block", b"x" * 512, 0o644


def _make_special(root: Path) -> None:
    usr = root / "usr"
    with (usr / "sparse").open("wb") as file:
        file.write(b"start" * 1000)
        file.seek(HOLE)
        file.write(b"end")
        file.truncate(HOLE + (5 << 20))
    with (usr / "hollow").open("wb") as file:
        file.truncate(3 << 20)
    for name in ("sparse", "hollow"):
        (usr / name).chmod(0o644)
    os.setxattr(usr / "bin/ping", "security.capability", CAPABILITY)
    os.setxattr(usr / "bin/su", "user.note", b"with = and \0 and \n")
    os.setxattr(usr / "bin/su", "user.od=d%", b"")
    os.setxattr(usr / "a", "user.folder", b"yes")
    os.setxattr(usr / "a", "system.posix_acl_default", ACL)
    os.setxattr(usr / "a-b", "system.posix_acl_access", ACL)
    os.link(usr / "bin/su", usr / "bin/zu")
    os.link(usr / "bin/ping", root / "etc/ping")
    (root / "bin").symlink_to("usr/bin")
    (usr / "long-link").symlink_to("/" + "x/" * 1000)
    (usr / "link").symlink_to(os.fsdecode(b"caf\xe9"))
    for folder in ("var/empty", "tmp", "dev", "proc"):
        (root / folder).mkdir(parents=True)
    os.mkfifo(usr / "fifo")
    (usr / "fifo").chmod(0o620)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(usr, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    os.chown(root / "etc/shadow", 0, 42)
    os.chown(usr / "link", 65534, 65534, follow_symlinks=False)


def _set_modes_and_times(root: Path) -> None:
    paths = [root, *root.rglob("*")]
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    (root / "tmp").chmod(0o1777)
    (root / "var/empty").chmod(0o2555)
    for path in paths:
        os.utime(path, (1, 1_600_000_000.75), follow_symlinks=False)
    os.utime(root / "etc/hosts", (1, EPOCH + 1000))  # later than any time in a template
