"""Events: written by many at once, never in the way, read and followed over a change of files."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from queue import Queue

import pytest

from builder.host.places import Places
from builder.runtime.record import events
from tests.support.needs import needs
from tests.support.oven import Oven


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(data=tmp_path, cache=tmp_path, runtime=tmp_path, settings=())


def names(places: Places) -> list[str]:
    return [event.name for event in events.read(places)]


def test_what_is_recorded_is_read(places: Places) -> None:
    events.record(places, "shop", "ended", code=3, reason="so")
    (event,) = events.read(places)
    assert (event.name, event.what, event.details) == ("shop", "ended", {"code": 3, "reason": "so"})
    assert event.time.endswith("Z")


WRITE = """
from pathlib import Path
from builder.host.places import Places
from builder.runtime.record import events
events.LIMIT = 20_000
here = Path({path!r})
for n in range(100):
    events.record(Places(here, here, here, ()), "w{number}", "x" * 50, n=n)
"""


def test_lines_of_writers_at_once_do_not_mix(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = [WRITE.format(path=str(places.data), number=number) for number in range(4)]
    running = [subprocess.Popen([sys.executable, "-c", one]) for one in code]
    assert [process.wait(timeout=60) for process in running] == [0] * 4
    # They may have had no time to put files together; whoever fills the next one does.
    monkeypatch.setattr(events, "LIMIT", 20_000)
    first = (places.data / "events.jsonl").stat().st_ino
    while (places.data / "events.jsonl").stat().st_ino == first:
        events.record(places, "w0", "x" * 50)
    kept = {path.name: path.read_bytes() for path in places.data.glob("events*.jsonl")}
    assert len(kept) == 3
    assert len(kept["events.united.jsonl"]) <= 20_000
    # Who sees but half of another's line begins a new one, which may leave an empty one.
    lines = [line for data in kept.values() for line in data.splitlines() if line]
    assert all(json.loads(line)["what"] == "x" * 50 for line in lines)


def test_the_file_is_put_aside_at_its_limit(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LIMIT", 200)
    for number in range(10, 40):
        events.record(places, f"n{number}", "happened")
    assert names(places)[-1] == "n39"
    assert names(places) == sorted(names(places))
    assert 3 <= len(names(places)) <= 9


def test_room_is_shared_out_among_containers() -> None:
    def line(name: str, number: int) -> bytes:
        return json.dumps({"name": name, "n": f"{number:04}"}).encode()

    lines = [line("quiet", 0), *(line("loud", n) for n in range(500)), b"cut sh", line("late", 1)]
    size = len(line("loud", 0)) + 1
    chosen = events.shared_out(lines, 10 * size)
    assert chosen[0] == lines[0]
    assert chosen[-1] == lines[-1]
    loud = chosen[1:-1]
    assert 7 <= len(loud) <= 8
    assert loud == lines[501 - len(loud) : 501], "the newest, in their order"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@needs("root")
def test_a_full_disk_loses_the_event_and_not_the_next(small: Path) -> None:
    places = Places(data=small, cache=small, runtime=small, settings=())
    events.record(places, "before", "happened")
    with (small / "fill").open("wb", buffering=0) as file:
        while file.write(bytes(1000)) == 1000:  # what does not fit is written in part
            pass
    for _ in range(10):
        events.record(places, "lost", "happened", reason="x" * 1000)
    (small / "fill").unlink()
    events.record(places, "after", "happened")
    assert (names(places)[0], names(places)[-1]) == ("before", "after")
    assert names(places).count("lost") < 10


@pytest.mark.parametrize("bad", ["folder", "link", "none"])
def test_a_place_that_cannot_be_written_is_no_error(places: Places, bad: str) -> None:
    file = places.data / "events.jsonl"
    target = places.data / "target"
    if bad == "folder":
        file.mkdir()
    elif bad == "link":
        file.symlink_to(target)
    else:
        places = Places(places.data / "absent", places.data, places.data, ())
    events.record(places, "shop", "happened")
    assert not target.exists()


def test_damaged_lines_are_skipped(places: Places) -> None:
    events.record(places, "one", "happened")
    with (places.data / "events.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n{"time": 5}\n[]\n\n{"cut sho')
    events.record(places, "two", "happened")
    assert names(places) == ["one", "two"]


@pytest.mark.parametrize("read", [events.read, events.follow], ids=["read", "follow"])
def test_none_is_lost_where_the_file_is_put_aside_just_then(
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[Places], Iterator[events.Event]],
) -> None:
    for name in ("one", "two"):
        events.record(places, name, "happened")

    asked = []

    def rotated(which: Callable[[Places], Path]) -> Callable[[Places], Path]:
        def path(places: Places) -> Path:
            asked.append(which)
            if len(asked) == 2:  # one of the two files has been opened, and the other has not
                monkeypatch.setattr(events, "LIMIT", 1)
                events.record(places, "three", "happened")
            return which(places)

        return path

    for function in ("_file", "_united"):
        monkeypatch.setattr(events, function, rotated(getattr(events, function)))
    assert [event.name for event in islice(read(places), 2)] == ["one", "two"]


def test_following_gives_each_event_once_over_a_change_of_files(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LIMIT", 300)
    seen: Queue[str] = Queue()

    def read() -> None:
        for event in events.follow(places):
            seen.put(event.name)
            if event.name == "n29":
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        events.record(places, f"n{number}", "happened")
        assert seen.get(timeout=20) == f"n{number}"
    reader.join(timeout=20)
    assert not reader.is_alive()
    assert seen.empty()


@needs("root")
def test_the_command(tmp_path: Path) -> None:
    oven = Oven(tmp_path / "home")
    assert oven("events").stdout == b""
    places = Places(tmp_path / "home", tmp_path, tmp_path, ())
    events.record(places, "shop", "failed", reason="evil\x1b[31m\x9b31m text\nsecond")
    events.record(places, "other", "started", pid=7)
    line = oven("events", "shop").stdout.decode()
    assert line.rstrip("\n").endswith(
        "shop  failed reason=evil\ufffd[31m\ufffd31m text\ufffdsecond"
    )
    (only,) = oven("events", "--json", "other").stdout.splitlines()
    assert json.loads(only)["details"] == {"pid": 7}
    assert oven("events", "--since", "2020-01-01").stdout.count(b"\n") == 2
    assert oven("events", "--since", "2120-01-01").stdout == b""
    assert "is no time" in oven.said("events", "--since", "soon", code=2)


@needs("root")
def test_the_command_follows(tmp_path: Path) -> None:
    oven = Oven(tmp_path / "home")
    places = Places(tmp_path / "home", tmp_path, tmp_path, ())
    process = oven.start("events", "-f", "--json", "shop")
    assert process.stdout is not None
    while not places.data.exists():
        os.sched_yield()
    events.record(places, "other", "started")
    events.record(places, "shop", "started")
    assert json.loads(process.stdout.readline())["name"] == "shop"
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 143
