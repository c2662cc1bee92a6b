"""Whom a download asks that a server sends on: nobody in the builder's own network."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

import pytest

from builder.host.network.downloads import Net
from builder.model.errors import UpstreamError
from builder.model.progress import Silent
from tests.support.hosts.netns import world
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:unshare")

OUTSIDE, NEXT, INSIDE = "11.1.1.1", "11.1.1.2", "10.1.1.1"
"""Public addresses, and one of networks like the builder's; all are those of a made namespace."""
DATA = b"what everybody may have\n"


class Server(ThreadingHTTPServer):
    """Gives a file, or sends on to somewhere else; notes what it was asked."""

    def __init__(self, address: str, sends_on: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sends_on = sends_on
        self.asked: list[str] = []
        super().__init__((address, 0), Handler)
        place = f"[{address}]" if ":" in address else address
        self.url = f"http://{place}:{self.server_port}/file"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def server_bind(self) -> None:
        """Take the address for the name, which nobody is there to be asked for."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    """Answers one question."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(302 if self.server.sends_on else 200)
        data = b"" if self.server.sends_on else DATA
        if self.server.sends_on:
            self.send_header("Location", self.server.sends_on)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as it is there
        pass


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Give a function that starts a server at an address."""
    servers: list[Server] = []

    def start(address: str, sends_on: str = "") -> Server:
        servers.append(Server(address, sends_on))
        return servers[-1]

    with world() as (host, _):
        for address in (OUTSIDE, NEXT, INSIDE, "169.254.169.254"):
            host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        yield start
        for one in servers:
            one.shutdown()
            one.server_close()


def fetch(server: Server, target: Path) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    Net(Silent(), pause=0).download(server.url, target, size=len(DATA), sha256=sha256)


@pytest.mark.parametrize("inner", [INSIDE, "127.0.0.1", "169.254.169.254", "::1"])
def test_a_server_outside_has_nobody_inside_asked(serve: Serve, tmp_path: Path, inner: str) -> None:
    victim = serve(inner)
    liar = serve(OUTSIDE, victim.url)
    with pytest.raises(UpstreamError, match="which is in this host's own network"):
        fetch(liar, tmp_path / "file")
    assert liar.asked == ["/file"]
    assert victim.asked == []


@pytest.mark.parametrize(("first", "second"), [(OUTSIDE, NEXT), (INSIDE, "127.0.0.1")])
def test_others_are_asked_as_the_server_says(
    serve: Serve, tmp_path: Path, first: str, second: str
) -> None:
    fetch(serve(first, serve(second).url), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_server_that_sends_on_and_on_is_given_up(serve: Serve, tmp_path: Path) -> None:
    server = serve(OUTSIDE)
    server.sends_on = server.url
    with pytest.raises(UpstreamError):
        fetch(server, tmp_path / "file")
    assert len(server.asked) < 30


@pytest.mark.parametrize("target", ["file:///etc/passwd", f"ftp://{NEXT}/file"])
def test_only_the_web_is_asked(serve: Serve, tmp_path: Path, target: str) -> None:
    with pytest.raises(UpstreamError, match="sends on from http to"):
        fetch(serve(OUTSIDE, target), tmp_path / "file")
