"""Consoles: joining a terminal to the one that a monitor (conmon) keeps for a container."""

import contextlib
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from builder.host.heard import heard
from builder.host.process import terminal
from builder.host.process.guard import Guard

# conmon listens at `attach` in the bundle and takes commands at the fifo `ctl` (its conn_sock.c and
# ctrl.c). What comes is a packet whose first byte names the stream; what goes is typed.

LEAVE = b"\x1d"
"""Ctrl-], as in telnet and virsh: no shell or editor has a use for it."""

_PACKET = 32768
"""Bytes that conmon sends at once, at most."""
_RESIZE = 1


class Ending(Enum):
    """Why a console was left."""

    LEFT = "left"
    ENDED = "ended"


def attach(bundle: Path) -> Ending:
    """Show the console on our stdout, and send what is typed until Ctrl-] or the container's end.

    Where stdin is no terminal, nothing is sent. The terminal is given back as it was, also when
    this process is killed. Raises ConnectionError or FileNotFoundError when there is no monitor.
    """
    with _connected(bundle / "attach") as connection:
        if not os.isatty(0):
            return _join(connection, None)
        before = terminal.settings()
        with Guard((), before), _sized(bundle / "ctl"), terminal.given_back(before):
            tty.setraw(0, termios.TCSADRAIN)  # what was typed already counts
            return _join(connection, 0)


def _join(connection: socket.socket, typed: int | None) -> Ending:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if typed is not None:
        poll.register(typed, select.POLLIN)
    while True:
        with heard():
            ready = [fd for fd, _ in poll.poll()]
        if connection.fileno() in ready:
            try:
                packet = connection.recv(_PACKET)
            except ConnectionResetError:
                packet = b""
            if not packet:
                return Ending.ENDED
            _write(packet[1:])
        if typed in ready and not _send(connection, os.read(0, 4096)):
            return Ending.LEFT


def _send(connection: socket.socket, data: bytes) -> bool:
    """Send what was typed; give False when that was the wish to leave, or the terminal has gone."""
    wanted, leave, _ = data.partition(LEAVE)
    if wanted:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(wanted)
    return bool(data) and not leave


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_UNIX, kind) as connection:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The name of a socket has at most 107 bytes (unix(7)); the way through /proc is short.
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        yield connection


@contextlib.contextmanager
def _sized(control: Path) -> Iterator[None]:
    """Keep the console as large as our terminal."""
    tell = _teller(control)
    before = signal.signal(signal.SIGWINCH, lambda *_: tell())
    try:
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _teller(control: Path) -> Callable[[], None]:
    def tell() -> None:
        with contextlib.suppress(OSError):  # it ends, which the connection tells
            size = os.get_terminal_size(0)
            fifo = os.open(control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(fifo, f"{_RESIZE} {size.lines} {size.columns}\n".encode())
            finally:
                os.close(fifo)

    return tell
