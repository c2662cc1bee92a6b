"""Questions to name servers, as they pass this machine on their way from its containers."""

import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Iterator

_ALL = 0x0003
"""ETH_P_ALL of linux/if_ether.h."""
_ATTACH_FILTER = 26
_BUFFER_FORCE = 33
"""SO_ATTACH_FILTER and SO_RCVBUFFORCE of asm-generic/socket.h."""
_ROOM = 16 << 20
"""Bytes that wait for whoever reads; what comes when it is full is lost."""
_LARGEST = 2048

# The kernel lets through UDP to port 53 alone: classic BPF, as `tcpdump -dd 'udp dst port 53'` has
# it, where a packet begins with its IP header (packet(7), SOCK_DGRAM).
_FILTER = (
    (0x30, 0, 0, 0),  # the version
    (0x54, 0, 0, 0xF0),
    (0x15, 0, 7, 0x40),  # 4, or go on below
    (0x30, 0, 0, 9),
    (0x15, 0, 9, 17),  # UDP
    (0x28, 0, 0, 6),
    (0x45, 7, 0, 0x1FFF),  # a later fragment
    (0xB1, 0, 0, 0),
    (0x48, 0, 0, 2),
    (0x05, 0, 0, 3),
    (0x30, 0, 0, 6),
    (0x15, 0, 2, 17),
    (0x28, 0, 0, 42),
    (0x15, 1, 0, 53),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, _LARGEST),
)


class Questions:
    """Hears all that is asked while it is there."""

    def __init__(self) -> None:
        """Begin to listen; OSError for who may not."""
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        code = b"".join(struct.pack("HBBI", *one) for one in _FILTER)
        held = ctypes.create_string_buffer(code)
        program = struct.pack("HP", len(_FILTER), ctypes.addressof(held))
        self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
        self._socket.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _ROOM)
        self._heard: set[tuple[str, str]] = set()
        for _ in self._packets():
            pass  # it has come before there was a filter

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def asked_by(self, *addresses: str) -> set[str]:
        """Give the names that were asked for from one of some addresses, in small letters."""
        for packet in self._packets():
            with contextlib.suppress(ValueError, IndexError):  # it is anybody's
                self._heard.add(question(packet))
        wanted = {str(ipaddress.ip_address(one)) for one in addresses}
        return {name for source, name in self._heard if source in wanted}

    def _packets(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                yield self._socket.recv(_LARGEST, socket.MSG_DONTWAIT)


def question(packet: bytes) -> tuple[str, str]:
    """Read an IP packet with a question: who asks, and the name (RFC 1035, 4.1).

    ValueError or IndexError for what is none.
    """
    if packet[0] >> 4 == 4:
        source, data = ipaddress.ip_address(packet[12:16]), packet[(packet[0] & 15) * 4 + 8 :]
    else:
        source, data = ipaddress.ip_address(packet[8:24]), packet[48:]
    labels, at = [], 12
    while length := data[at]:
        if length > 63:
            msg = "a question is not compressed"
            raise ValueError(msg)
        labels.append(data[at + 1 : at + 1 + length].decode("ascii", errors="replace"))
        at += 1 + length
    return str(source), ".".join(labels).lower()
