"""Questions to name servers, read out of packets that anybody may have made."""

import os
import socket
import struct

import pytest

from builder.host.network.overheard import question

ASKED = b"\x04Home\x07example\x00\x00\x01\x00\x01"


def packet(name: bytes = ASKED, family: int = 4) -> bytes:
    dns = b"\x00\x07\x01\x00\x00\x01" + bytes(6) + name
    udp = struct.pack(">HHHH", 4000, 53, 8 + len(dns), 0) + dns
    if family == 4:
        return b"\x45" + bytes(11) + socket.inet_aton("10.1.2.3") + bytes(4) + udp
    return b"\x60" + bytes(7) + socket.inet_pton(socket.AF_INET6, "fd00::1") + bytes(16) + udp


def test_who_asks_for_what() -> None:
    assert question(packet()) == ("10.1.2.3", "home.example")
    assert question(packet(family=6)) == ("fd00::1", "home.example")


@pytest.mark.parametrize("name", [b"", b"\xc0\x0c", b"\x04Ho", b"\x3f" * 40])
def test_what_is_none(name: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        question(packet(name))


def test_anything_else_is_none_or_harmless() -> None:
    for size in range(1, 200):
        data = os.urandom(size)
        try:
            source, name = question(data)
        except (ValueError, IndexError):
            continue
        assert source
        assert "\n" not in source + name or b"\n" in data
