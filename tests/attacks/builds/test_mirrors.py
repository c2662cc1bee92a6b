"""Mirrors that keep a build waiting, or fill its disk or memory: each ends in bounded time."""

import hashlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.host.network import arriving, downloads
from builder.host.network.downloads import Item, Net
from builder.model.errors import UpstreamError
from builder.model.progress import Silent

DATA = b"what everybody may have\n" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"

Answer = Iterator[bytes]


class Mirror:
    """Answers each question with pieces, one after the other, as long as somebody listens."""

    def __init__(self, answer: Callable[[], Answer], *, pause: float = 0) -> None:
        self._answer, self._pause = answer, pause
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/file"
        self.asked, self._over = 0, threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                talk, _ = self._socket.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self._talk, args=(talk,), daemon=True).start()

    def _talk(self, talk: socket.socket) -> None:
        try:
            with talk:
                talk.recv(65536)
                for piece in self._answer():
                    talk.sendall(piece)
                    if self._over.wait(self._pause):
                        return
        except OSError:
            return  # nobody listens any more


def endless() -> Answer:
    return itertools.chain([OK + b"\r\n"], itertools.repeat(bytes(65536)))


def endless_chunks() -> Answer:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    return itertools.chain([OK + b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(chunk))


def trickle() -> Answer:
    """Each byte comes long before anybody would call the mirror silent."""
    return itertools.chain([OK + b"Content-Length: 2400\r\n\r\n"], (bytes([one]) for one in DATA))


def longer() -> Answer:
    return iter([OK + b"Content-Length: 9999999999\r\n\r\n", DATA])


def shorter() -> Answer:
    return iter([OK + b"Content-Length: 2400\r\n\r\n", DATA[:100]])


def endless_redirect() -> Answer:
    head = b"HTTP/1.1 302 Found\r\nLocation: /file\r\n\r\n"
    return itertools.chain([head], itertools.repeat(bytes(65536)))


def fetch(urls: tuple[str, ...], target: Path, size: int | None = len(DATA)) -> None:
    Net(Silent(), pause=0).fetch_all([Item(urls, target, size, SHA256, "file")], jobs=1)


def good() -> Answer:
    return iter([OK + b"Content-Length: 2400\r\nConnection: close\r\n\r\n", DATA])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (endless, "is larger than 2400 bytes"),
        (endless_chunks, "is larger than 2400 bytes"),
        (trickle, "sends next to nothing"),
        (longer, "has 9999999999 bytes, not 2400 as expected"),
        (shorter, "it ended after"),
        (endless_redirect, "cannot download"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_mirror_that_does_not_come_to_an_end_is_given_up(
    answer: Callable[[], Answer], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one is asked, which has the file."""
    monkeypatch.setattr(arriving, "WINDOW", 0.2)
    monkeypatch.setattr(arriving, "LEAST", 1000)
    bad = Mirror(answer, pause=0.02 if answer is trickle else 0)
    sound = Mirror(good)
    with pytest.raises(UpstreamError, match=told):
        fetch((bad.url,), tmp_path / "file")
    assert not (tmp_path / "file").exists()
    fetch((bad.url, sound.url), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    assert bad.asked <= 50
    bad.close()
    sound.close()


def test_a_file_of_no_known_size_has_a_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "CEILING", 1 << 20)
    bad = Mirror(endless)
    with pytest.raises(UpstreamError, match="is larger than 1048576 bytes"):
        fetch((bad.url,), tmp_path / "file", None)
    bad.close()
    assert (tmp_path / "file.part").stat().st_size == 0
