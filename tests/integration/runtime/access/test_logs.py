"""What a container said on its console: the last lines, those since a moment, and new ones."""

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from builder.host.places import Places
from builder.runtime.access import logs
from builder.runtime.access.logs import LogRange
from builder.runtime.record.container import Container, encode
from tests.support.containers.rig import DIGEST


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    places = Places(tmp_path, tmp_path, tmp_path, ())
    folder = tmp_path / "containers/test"
    folder.mkdir(parents=True)
    container = Container(
        name="test", template=DIGEST, template_name="x", uuid="a", first_id=0, created=0,
        hostname="test",
    )  # fmt: skip
    (folder / "container.json").write_bytes(encode(container))
    return places  # type: ignore[return-value]  # nothing is to be done afterwards


def write(places: Places, *records: bytes) -> None:
    with (places.data / "containers/test/console.log").open("ab") as file:
        for record in records:
            file.write(record + b"\n")


def record(text: bytes, second: int = 0, flag: bytes = b"F") -> bytes:
    return b"2026-05-01T12:00:%02d.123456789+02:00 stdout %s %s" % (second, flag, text)


def test_the_last_lines_and_those_since(places: Places) -> None:
    write(places, *(record(b"line %d" % number, number) for number in range(10)))
    assert list(logs.console(places, "test", LogRange(count=2))) == ["line 8", "line 9"]
    assert list(logs.console(places, "test", LogRange(count=0))) == []
    moment = 1777629607.0  # 2026-05-01T10:00:07Z
    assert list(logs.console(places, "test", LogRange(since=moment))) == [
        "line 7",
        "line 8",
        "line 9",
    ]
    assert list(logs.console(places, "test", LogRange(since=moment, count=1))) == ["line 9"]


def test_parts_are_joined_and_nothing_steers_the_terminal(places: Places) -> None:
    write(
        places, record(b"be", flag=b"P"), record(b"gin\r"), record(b"\x1b[31mred\x1b]0;t\x07\x9b")
    )
    write(places, b"damaged", record(b"caf\xc3\xa9\xff"))
    assert list(logs.console(places, "test")) == [
        "begin",
        "red\N{REPLACEMENT CHARACTER}",
        "café\N{REPLACEMENT CHARACTER}",
    ]


def test_following_begins_with_the_last_lines(places: Places) -> None:
    write(places, *(record(b"line %d" % number) for number in range(10)))
    seen: Queue[str] = Queue()

    def read() -> None:
        for line in logs.console(places, "test", LogRange(count=1, follow=True)):
            seen.put(line)
            if line == "last":
                return

    reader = threading.Thread(target=read)
    reader.start()
    assert seen.get(timeout=20) == "line 9"
    write(places, record(b"new"))
    assert seen.get(timeout=20) == "new"
    write(places, record(b"more"), record(b"last"))
    assert [seen.get(timeout=20) for _ in range(2)] == ["more", "last"]
    reader.join(timeout=20)
