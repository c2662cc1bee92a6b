"""Fetching locked packages from mirrors that behave and mirrors that do not."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from builder.host.network.downloads import ATTEMPTS, CONNECTIONS, Item, Net
from builder.host.programs import on_host
from builder.model.errors import StageError, UpstreamError
from builder.model.lock import Package
from builder.model.progress import ProgressTask, Silent
from builder.stages.fetch import SupersededError, fetch
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.packages.archive import Fault, Mirror, dead_url, serve

BIG = 700_000


@dataclass
class Meter(Silent):
    """Counts the bytes that are told."""

    total: int | None = None
    done: list[int] = field(default_factory=list)

    def begin(self, label: str, /, *, total: int | None = None, unit: str = "") -> ProgressTask:
        self.total = total
        return self

    def advance(self, amount: int, /) -> None:
        self.done.append(amount)


def package(root: Path, name: str, size: int) -> Package:
    """Put a file into the mirror's pool and describe it."""
    path = root / f"debian/pool/main/{name}_1+b1_all.deb"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = os.urandom(size)
    path.write_bytes(data)
    return Package(
        name=name,
        version="1:1+b1",
        arch="all",
        size=size,
        sha256=hashlib.sha256(data).hexdigest(),
        archive="debian",
        path=str(path.relative_to(root / "debian")),
        layer="base",
    )


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with serve(tmp_path / "mirror") as mirror:
        yield mirror


@pytest.fixture
def packages(mirror: Mirror) -> tuple[Package, ...]:
    big = package(mirror.root, "big", BIG)
    return (big, *(package(mirror.root, f"small{number}", 999 + number) for number in range(20)))


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def tools(tmp_path: Path, meter: Meter) -> Tools:
    return Tools(Store(tmp_path / "store"), on_host, Net(meter, pause=0), Silent(), 2)


def left(tools: Tools) -> dict[str, int]:
    """Give name and size of unfinished files."""
    return {
        path.name: path.stat().st_size
        for path in tools.store.partial.iterdir()
        if path.name != "lock"
    }


def test_all_is_fetched_once(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, meter: Meter
) -> None:
    fetch(packages, mirror.urls, tools, recipe="r")
    for item in packages:
        blob = tools.store.blob(item.sha256)
        assert blob is not None
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == item.sha256
    assert sum(meter.done) == meter.total == sum(item.size for item in packages)
    assert len(mirror.requests) == len(packages)
    assert left(tools) == {}

    fetch(packages, mirror.urls, tools, recipe="r")
    assert len(mirror.requests) == len(packages)


def test_broken_transfer_is_resumed(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, meter: Meter
) -> None:
    mirror.faults["big_1+b1_all.deb"] = Fault(cut=300_000, times=1)
    fetch(packages[:1], mirror.urls, tools, recipe="r")
    assert mirror.asked("big_1+b1_all.deb") == ["", "bytes=300000-"]
    assert sum(meter.done) == BIG
    assert tools.store.blob(packages[0].sha256)


def test_resumed_by_the_next_run(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    mirror.faults["big_1+b1_all.deb"] = Fault(cut=100_000)
    with pytest.raises(UpstreamError, match=rf"`{mirror.url}/debian/pool/main/big"):
        fetch(packages[:1], mirror.urls, tools, recipe="r")
    assert left(tools) == {f"{packages[0].sha256}.part": 100_000 * ATTEMPTS}
    mirror.faults.clear()
    mirror.requests.clear()
    fetch(packages[:1], mirror.urls, tools, recipe="r")
    assert mirror.asked("deb") == [f"bytes={100_000 * ATTEMPTS}-"]
    assert left(tools) == {}


def test_mirror_without_ranges(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, meter: Meter
) -> None:
    tools.store.partial.joinpath(f"{packages[0].sha256}.part").write_bytes(b"x" * 1000)
    mirror.faults["deb"] = Fault(no_ranges=True)
    fetch(packages[:1], mirror.urls, tools, recipe="r")
    assert sum(meter.done) == BIG


@pytest.mark.parametrize("size", [1000, BIG, BIG + 1])
def test_wrong_beginning_is_thrown_away(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, size: int
) -> None:
    tools.store.partial.joinpath(f"{packages[0].sha256}.part").write_bytes(b"x" * size)
    fetch(packages[:1], mirror.urls, tools, recipe="r")
    blob = tools.store.blob(packages[0].sha256)
    assert blob is not None
    assert hashlib.sha256(blob.read_bytes()).hexdigest() == packages[0].sha256
    assert left(tools) == {}


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"x" * BIG, "has wrong bytes"), (b"x" * (BIG + 1), f"{BIG + 1} bytes, not {BIG}")],
)
def test_wrong_bytes(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, body: bytes, problem: str
) -> None:
    mirror.faults["big_1+b1_all.deb"] = Fault(body=body)
    with pytest.raises(UpstreamError, match=rf"`{mirror.url}/debian/pool/main/big\S*` .*{problem}"):
        fetch(packages, mirror.urls, tools, recipe="r")
    assert tools.store.blob(packages[0].sha256) is None
    assert left(tools).get(f"{packages[0].sha256}.part", 0) == 0
    assert len(mirror.asked("big_1+b1_all.deb")) == 1


def test_endless_file_is_cut_off(tmp_path: Path) -> None:
    """A mirror that names no length may not fill the disk."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/file"
        with pytest.raises(UpstreamError, match="larger than 100000 bytes"):
            Net(Silent()).download(url, tmp_path / "file", size=100_000, sha256="0" * 64)
        thread.join()
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").stat().st_size == 0


def test_next_mirror_is_tried(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, tmp_path: Path
) -> None:
    with serve(tmp_path / "mirror") as bad:
        bad.faults["big_1+b1_all.deb"] = Fault(body=b"x" * BIG)
        bad.faults["small1_1+b1_all.deb"] = Fault(status=404)
        bad.faults["small2_1+b1_all.deb"] = Fault(status=403)
        urls = (f"{dead_url()}/debian", f"{bad.url}/debian", *mirror.urls["debian"])
        fetch(packages, {"debian": urls}, tools, recipe="r")
    assert all(tools.store.blob(item.sha256) for item in packages)
    assert {path.rpartition("/")[2] for path, _ in mirror.requests} == {
        "big_1+b1_all.deb",
        "small1_1+b1_all.deb",
        "small2_1+b1_all.deb",
    }


def test_busy_mirror_is_asked_again(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    mirror.faults["deb"] = Fault(status=503, times=2)
    fetch(packages[:1], mirror.urls, tools, recipe="r")
    assert len(mirror.requests) == 3


def test_mirror_is_down(packages: tuple[Package, ...], tools: Tools) -> None:
    url = f"{dead_url()}/debian"
    with pytest.raises(UpstreamError, match=f"cannot download `{url}/pool.*: connection refused"):
        fetch(packages, {"debian": (url,)}, tools, recipe="r")
    assert not any(left(tools).values())


def test_locked_package_is_gone(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    mirror.faults["small3_1+b1_all.deb"] = Fault(status=404)
    with pytest.raises(SupersededError, match=r"the mirror no longer has small3 1:1\+b1") as caught:
        fetch(packages, mirror.urls, tools, recipe="debian-bookworm")
    hint = "`oven lock debian-bookworm --update` takes the versions that are there now"
    assert caught.value.hint == hint


def test_mirrors_that_lack_different_packages_complete_each_other(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, tmp_path: Path
) -> None:
    """One has moved on, the other is damaged in another place: together they have all."""
    with serve(tmp_path / "mirror") as other:
        mirror.faults["small1_1+b1_all.deb"] = Fault(status=404)
        mirror.faults["small2_1+b1_all.deb"] = Fault(body=b"x" * 1001)
        other.faults["small3_1+b1_all.deb"] = Fault(status=404)
        both = {"debian": (*mirror.urls["debian"], *other.urls["debian"])}
        fetch(packages, both, tools, recipe="r")
        assert sorted({path.rpartition("/")[2] for path, _ in other.requests}) == [
            "small1_1+b1_all.deb",
            "small2_1+b1_all.deb",
        ]
    assert all(tools.store.blob(item.sha256) for item in packages)


def test_package_that_no_mirror_has(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, tmp_path: Path
) -> None:
    with serve(tmp_path / "mirror") as other:
        for one in (mirror, other):
            one.faults["small3_1+b1_all.deb"] = Fault(status=404)
        both = {"debian": (*mirror.urls["debian"], *other.urls["debian"])}
        with pytest.raises(SupersededError, match=r"no mirror has small3 1:1\+b1") as caught:
            fetch(packages, both, tools, recipe="debian-bookworm")
        assert other.asked("small3_1+b1_all.deb") == [""]
    assert "oven lock debian-bookworm --update" in (caught.value.hint or "")


@pytest.mark.parametrize("fault", [Fault(body=b"x" * 1002), Fault(status=403), None])
def test_package_that_one_mirror_lacks_and_another_cannot_give(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools, tmp_path: Path, fault: Fault | None
) -> None:
    """Taking other versions would not help if the second one recovers, but both are told of."""
    mirror.faults["small3_1+b1_all.deb"] = Fault(status=404)
    with serve(tmp_path / "mirror") as other:
        if fault:
            other.faults["small3_1+b1_all.deb"] = fault
        second = other.url if fault else dead_url()
        both = {"debian": (*mirror.urls["debian"], f"{second}/debian")}
        with pytest.raises(UpstreamError, match=r"cannot get small3 1:1\+b1: ") as caught:
            fetch(packages, both, tools, recipe="debian-bookworm")
    assert not isinstance(caught.value, SupersededError)
    assert mirror.url in caught.value.problem
    assert second in caught.value.problem
    assert "oven lock debian-bookworm --update" in (caught.value.hint or "")


def test_work_on_what_has_arrived_goes_on_beside_downloads(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    """The last download ends only after the first package has been worked on."""
    worked, lock = [], threading.Lock()
    first, last = threading.Event(), packages[1]

    def then(package: Package, store: Store) -> None:
        assert store.blob(package.sha256)
        with lock:
            worked.append(package.name)
            if not first.is_set():
                assert store.blob(last.sha256) is None
        first.set()

    mirror.faults["small0_1+b1_all.deb"] = Fault(wait=first)
    fetch(packages, mirror.urls, tools, recipe="r", then=then)
    assert sorted(worked) == sorted(item.name for item in packages)


def test_largest_is_begun_first(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    asked: list[int] = []

    class Noting(Net):
        def fetch_all(
            self,
            items: Sequence[Item],
            *,
            jobs: int = CONNECTIONS,
            then: Callable[[Item], None] | None = None,
        ) -> None:
            asked.extend(item.size or 0 for item in items)
            super().fetch_all(items, jobs=jobs, then=then)

    noting = replace(tools, net=Noting(Silent()))
    fetch(packages, mirror.urls, noting, recipe="r")
    assert asked == sorted((item.size for item in packages), reverse=True)


def test_first_failure_of_that_work_ends_the_downloads(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    def then(package: Package, store: Store) -> None:
        del store
        raise StageError(f"cannot unpack the package `{package.name}`")

    many = tuple(package(mirror.root, f"more{number}", 99) for number in range(300))
    with pytest.raises(StageError, match="cannot unpack the package `"):
        fetch((*packages, *many), mirror.urls, tools, recipe="r", then=then)
    assert len(mirror.requests) < len(packages) + len(many)


def test_failed_download_ends_that_work(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    """What waits for its turn is never begun."""
    worked: list[str] = []
    begun = threading.Event()

    def then(package: Package, store: Store) -> None:
        del store
        worked.append(package.name)
        begun.set()
        time.sleep(0.2)

    mirror.faults["small0_1+b1_all.deb"] = Fault(status=404, wait=begun)
    with pytest.raises(SupersededError, match="small0"):
        fetch(packages, mirror.urls, tools, recipe="r", then=then)
    assert 0 < len(worked) < len(packages) - 1


def test_archive_without_mirror(
    mirror: Mirror, packages: tuple[Package, ...], tools: Tools
) -> None:
    odd = msgspec.structs.replace(packages[0], archive="elsewhere")
    with pytest.raises(UpstreamError, match="no mirror is known for `big 1:1"):
        fetch((odd,), mirror.urls, tools, recipe="r")


def test_ctrl_c_ends_a_silent_download_at_once(tmp_path: Path) -> None:
    """Nobody waits for the read timeout, and what has arrived is kept."""
    import socket

    program = (
        "import sys; from pathlib import Path; from builder.host.network.downloads import Net;"
        "from builder.model.progress import Silent;"
        "Net(Silent()).download(sys.argv[1], Path(sys.argv[2]), size=1000, sha256='0' * 64)"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        argv = [sys.executable, "-c", program, url, str(tmp_path / "file")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                _, stderr = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in stderr
    assert not (tmp_path / "file").exists()
