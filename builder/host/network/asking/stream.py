"""Streams: a connection to a server, read only so far as the answer to one question goes."""

import socket
import ssl

# A server may be hostile: it may answer without end, drop by drop, or never. Each read is bounded
# here; the time for all of it is the caller's, who ends this process.

LINE = 8192
"""Bytes of one line."""
_LINES = 200
"""Lines of one answer."""


class WrongAnswerError(Exception):
    """A server that does not work: why, in words that go on after its name."""


class Stream:
    """A connection to a server."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.connect((host, port))
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def line(self) -> bytes:
        """Read a line, without what ends it."""
        found = self._file.readline(LINE)
        if not found:
            raise WrongAnswerError("closes the connection")
        if not found.endswith(b"\n"):
            raise WrongAnswerError(f"answers with a line that does not end: {shown(found)}")
        return found.rstrip(b"\r\n")

    def lines(self, last: bytes) -> list[bytes]:
        """Read lines until one begins with `last` and a space."""
        found: list[bytes] = []
        while len(found) < _LINES:
            found.append(self.line())
            if found[-1].startswith(last + b" "):
                return found
        raise WrongAnswerError("answers with lines that do not end")

    def exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        found = self._file.read(count)
        if len(found) < count:
            raise WrongAnswerError("closes the connection")
        return found

    def over_tls(self, name: str) -> bytes:
        """Go over to TLS, asking for a name; give the server's certificate, which is not checked.

        Who signed it is not the question: many sign their own.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        wrapped = context.wrap_socket(self.socket, server_hostname=name or None)
        self.socket, self._file = wrapped, wrapped.makefile("rb")
        return wrapped.getpeercert(binary_form=True) or b""


def shown(data: bytes) -> str:
    """Show what a server said, in quotes and short."""
    text = "".join(
        letter if letter.isprintable() else "?" for letter in data[:100].decode("latin1")
    )
    return f"`{text.strip()}`"


def unlike(wanted: str, found: bytes) -> WrongAnswerError:
    """Tell of an answer that is not that of such a server."""
    return WrongAnswerError(f"does not answer as {wanted} does: {shown(found)}")
