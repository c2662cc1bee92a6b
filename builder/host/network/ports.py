"""Ports of the host: whether one is free, and which program holds it."""

import contextlib
import errno
import socket
from typing import Literal

from builder.host.programs import PROMPT, Command, on_host
from builder.model.errors import HostError

Protocol = Literal["tcp", "udp"]


def is_free(protocol: Protocol, address: str, port: int, *, there: bool = True) -> bool:
    """Tell whether a program could listen on a port of an address of this host.

    `0.0.0.0` and `::` are all addresses of one version of IP. When the address is not `there`
    yet, it is told whether a listener on all addresses is in the way. Raises HostError for an
    address that the host lacks; without IPv6 every port of it is free.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        probe = socket.socket(family, _kind(protocol))
    except OSError:
        return True
    with probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if not there:
            # For IPv6 as well (ip(7)).
            probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if protocol == "tcp":
            # Closed connections of a server that has ended do not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise HostError(
                f"cannot publish port {port} on `{address}`: {error.strerror}",
                hint="`ip address` lists the addresses of this host",
            ) from error
    return True


_IP_FREEBIND = 15
"""Lets a socket have an address that is not there yet (ip(7))."""


def holder_of(protocol: Protocol, port: int) -> str:
    """Name the program that listens on a port, as `nginx (pid 42)`, as well as can be known."""
    flags = "-Hlnpt" if protocol == "tcp" else "-Hlnpu"
    with contextlib.suppress(HostError):
        users = on_host(Command(("ss", flags, f"sport = :{port}"), limit=PROMPT)).output.partition(
            'users:(("'
        )[2]
        if users:
            program, _, rest = users.partition('",pid=')
            return f"`{program}` (pid {rest.partition(',')[0]})"
    return "a program of the host"


def _kind(protocol: Protocol) -> socket.SocketKind:
    return socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
