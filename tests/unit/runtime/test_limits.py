"""Limits: what is typed, what the kernel is told on both kinds of hosts, and what it tells back."""

import itertools
from pathlib import Path

import msgspec
import pytest

from builder.cli.containers.options import limits as options
from builder.host.kernel.block_devices import BlockDevice
from builder.host.kernel.cgroups import Accounting
from builder.model.errors import RecipeError
from builder.runtime.bundle.process import Process
from builder.runtime.bundle.spec import configuration
from builder.runtime.record.container import Limits
from builder.runtime.resources import usage
from builder.runtime.resources.limits import _takes_away as means_nothing
from builder.runtime.resources.limits import translated, usual_processes
from tests.support.containers.oci import CONTAINER, HOST

DISK = BlockDevice(8, 0, writeback=True)
GIB = 1 << 30
EVERYTHING = Limits(
    memory=GIB, swap=0, pids=500, cpus=1.5, weight=200, read_bytes=1000, write_bytes=2000,
    read_operations=30, write_operations=40,
)  # fmt: skip


def unified(root: Path) -> Accounting:
    return Accounting(unified=True, folders=dict.fromkeys(("cpu", "memory", "pids", "io"), root))


def legacy(root: Path) -> Accounting:
    folders = {kind: root / kind for kind in ("cpu", "memory", "pids", "blkio")}
    return Accounting(unified=False, folders=folders)


def written(limits: Limits, accounts: Accounting, root: Path) -> list[tuple[str, str]]:
    return [
        (str(write.path.relative_to(root)), write.value)
        for write in translated(limits, accounts, "web", (DISK,))
    ]


def test_version_2(tmp_path: Path) -> None:
    guest = "oven/web/guest"
    assert written(EVERYTHING, unified(tmp_path), tmp_path) == [
        (f"{guest}/memory.max", str(GIB)),
        (f"{guest}/memory.swap.max", "0"),
        (f"{guest}/pids.max", "500"),
        (f"{guest}/cpu.max", "150000 100000"),
        ("oven/web/cpu.weight", "200"),
        (f"{guest}/io.max", "8:0 rbps=1000 wbps=2000 riops=30 wiops=40"),
    ]


def test_version_2_without_limits(tmp_path: Path) -> None:
    values = dict(written(Limits(), unified(tmp_path), tmp_path))
    assert values == {
        "oven/web/guest/memory.max": "max",
        "oven/web/guest/memory.swap.max": "max",
        "oven/web/guest/pids.max": str(usual_processes()),
        "oven/web/guest/cpu.max": "max 100000",
        "oven/web/cpu.weight": "100",
        "oven/web/guest/io.max": "8:0 rbps=max wbps=max riops=max wiops=max",
    }


def test_version_1(tmp_path: Path) -> None:
    assert written(EVERYTHING, legacy(tmp_path), tmp_path) == [
        ("memory/oven/web/guest/memory.memsw.limit_in_bytes", str(GIB)),
        ("memory/oven/web/guest/memory.limit_in_bytes", str(GIB)),
        ("pids/oven/web/guest/pids.max", "500"),
        ("cpu/oven/web/guest/cpu.cfs_period_us", "100000"),
        ("cpu/oven/web/guest/cpu.cfs_quota_us", "150000"),
        ("cpu/oven/web/cpu.shares", "2048"),
        ("blkio/oven/web/guest/blkio.throttle.read_bps_device", "8:0 1000"),
        ("blkio/oven/web/guest/blkio.throttle.write_bps_device", "8:0 2000"),
        ("blkio/oven/web/guest/blkio.throttle.read_iops_device", "8:0 30"),
        ("blkio/oven/web/guest/blkio.throttle.write_iops_device", "8:0 40"),
    ]


@pytest.mark.parametrize("swap", [0, GIB, None])
@pytest.mark.parametrize(
    ("now", "memory"), list(itertools.permutations((GIB, 2 * GIB, 4 * GIB), 2))
)
def test_memory_never_exceeds_its_sum_with_swap(
    tmp_path: Path, now: int, memory: int, swap: int | None
) -> None:
    """The kernel refuses each single step that would make it so (cgroup-v1/memory.rst)."""
    folder = tmp_path / "memory/oven/web/guest"
    folder.mkdir(parents=True)
    values = {"memory.limit_in_bytes": now, "memory.memsw.limit_in_bytes": now}
    (folder / "memory.memsw.limit_in_bytes").write_text(f"{now}\n")
    for write in translated(Limits(memory=memory, swap=swap), legacy(tmp_path), "web", ()):
        if write.path.name in values:
            number = int(write.value)
            values[write.path.name] = number if number >= 0 else 1 << 63
            assert values["memory.limit_in_bytes"] <= values["memory.memsw.limit_in_bytes"]
    assert values["memory.limit_in_bytes"] == memory


def test_what_takes_a_limit_away_needs_no_file(tmp_path: Path) -> None:
    """A host without a feature has no file for it, and nothing to take away."""
    for accounts in (unified(tmp_path), legacy(tmp_path)):
        for write in translated(Limits(), accounts, "web", (DISK,)):
            assert means_nothing(write), write
        kept = [w for w in translated(EVERYTHING, accounts, "web", (DISK,)) if means_nothing(w)]
        assert [write.path.name for write in kept] in ([], ["cpu.cfs_period_us"])


def given(**words: str) -> Limits:
    return options.describe(
        msgspec.structs.replace(CONTAINER, limits=Limits(memory=GIB, pids=7)), dict(words)
    ).limits


def test_what_is_not_given_stays() -> None:
    assert given() == Limits(memory=GIB, pids=7)
    assert given(pids="9") == Limits(memory=GIB, pids=9)
    assert given(memory="none", pids="none") == Limits()


def test_words_are_read() -> None:
    assert given(memory="1.5G", swap="0", cpus="0.25", weight="10000") == Limits(
        memory=3 * GIB // 2, swap=0, cpus=0.25, weight=10000, pids=7
    )
    rates = given(read_bps="10M", write_bps="1k", read_iops="3", write_iops="4")
    assert (rates.read_bytes, rates.write_bytes) == (10 << 20, 1024)
    assert (rates.read_operations, rates.write_operations) == (3, 4)
    assert given(disk="2GiB", inodes="4096").disk == 2 * GIB


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("memory", "1K"), ("memory", "x"), ("memory", "-5M"), ("memory", "1e9"), ("memory", ""),
        ("swap", "-1"), ("pids", "0"), ("pids", "1.5"), ("pids", "9" * 30), ("cpus", "0"),
        ("cpus", "nan"), ("cpus", "inf"), ("weight", "0"), ("weight", "10001"),
        ("memory", "5\u212a"), ("memory", "5000000T"), ("pids", str(1 << 63)),
        ("read_bps", "0"), ("read_iops", "0"), ("disk", "1M"), ("inodes", "1"),
    ],
)  # fmt: skip
def test_words_are_refused(option: str, word: str) -> None:
    with pytest.raises(RecipeError, match=f"--{option.replace('_', '-')} {word}"):
        given(**{option: word})


FILES = {
    "memory.current": "3000\n",
    "memory.max": "max\n",
    "memory.stat": "anon 1000\nfile 2000\nshmem 50\n",
    "memory.swap.current": "5\n",
    "memory.swap.max": "0\n",
    "memory.events": "low 0\noom 2\noom_kill 1\n",
    "cpu.stat": "usage_usec 2500000\nnr_throttled 3\nthrottled_usec 500000\n",
    "cpu.max": "50000 100000\n",
    "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n9:9 rbytes=10 wbytes=20\n",
    "pids.current": "4\n",
    "pids.max": "9\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=47688\n",
    "memory.pressure": "some avg10=2.00 avg60=0 avg300=0 total=1\nfull avg10=1.00 avg60=0\n",
}


def test_use_is_read_on_version_2(tmp_path: Path) -> None:
    folder = tmp_path / "oven/web/guest"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    sources = usage.UsageSources(unified(tmp_path), lambda _, file: FILES.get(file, "").encode())
    used = usage.read("web", 0, sources)
    assert used.memory == usage.Memory(
        used=3000, cache=2000, tmpfs=50, anonymous=1000, swap=5, swap_limit=0, oom_kills=1
    )
    assert used.cpu == usage.Processor(seconds=2.5, limit=0.5, throttled=3, throttled_seconds=0.5)
    assert used.io == usage.Traffic(read_bytes=11, written_bytes=22, reads=3, writes=4)
    assert used.pids == usage.Count(used=4, limit=9)
    assert used.pressure == usage.Pressure(
        cpu=usage.Stall(some=1.5, full=0.0), memory=usage.Stall(some=2.0, full=1.0)
    )


def test_traffic_on_version_1(tmp_path: Path) -> None:
    """The kernel counts only once any limit of the disk was set, and says 0 before."""
    accounts = legacy(tmp_path)
    guest = tmp_path / "blkio/oven/web/guest"
    guest.mkdir(parents=True)
    size, count = ("io_service_bytes", "io_serviced")
    for folder, numbers in ((guest, (300, 40)), (tmp_path / "blkio", (0, 0))):
        for file, number in zip((size, count), numbers, strict=True):
            lines = f"8:0 Read {number}\n8:0 Write 7\n8:0 Total 9\nTotal {number}\n"
            text = lines if number else "Total 0\n"
            (folder / f"blkio.throttle.{file}_recursive").write_text(text)
    sources = usage.UsageSources(accounts, lambda *_: b"")
    assert usage.read("web", 0, sources).io == usage.Traffic()
    (tmp_path / f"blkio/blkio.throttle.{size}_recursive").write_text("Total 5\n")
    assert usage.read("web", 0, sources).io == usage.Traffic(
        read_bytes=300, written_bytes=7, reads=40, writes=7
    )


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    nothing = usage.read("web", 0, usage.UsageSources(legacy(tmp_path), lambda *_: b""))
    assert nothing.memory == usage.Memory()
    assert nothing.cpu == usage.Processor()
    assert nothing.io == usage.Traffic()
    assert nothing.network == ()


def test_rates() -> None:
    cable = usage.Cable(
        name="eth0", received_bytes=0, sent_bytes=0, received_packets=0, sent_packets=0
    )
    first = usage.Usage(
        at=10.0, memory=usage.Memory(), cpu=usage.Processor(seconds=1.0),
        io=usage.Traffic(read_bytes=100), pids=usage.Count(), network=(cable,), disk=None,
        pressure=usage.Pressure(),
    )  # fmt: skip
    second = msgspec.structs.replace(
        first,
        at=12.0,
        cpu=usage.Processor(seconds=4.0),
        io=usage.Traffic(read_bytes=500),
        network=(msgspec.structs.replace(cable, received_bytes=20),),
    )
    speed = usage.rates(first, second)
    assert (speed.interval, speed.cpu, speed.read_bytes) == (2.0, 150.0, 200.0)
    assert (speed.received_bytes, speed.sent_bytes, speed.written_bytes) == (10.0, 0.0, None)


@pytest.mark.parametrize("unified_host", [True, False])
def test_a_start_is_told_the_same(*, unified_host: bool) -> None:
    """The OCI runtime sets them before the first process; OCI's swap is the sum with memory."""
    limited = msgspec.structs.replace(CONTAINER, limits=EVERYTHING)
    host = msgspec.structs.replace(HOST, unified=unified_host, disks=(DISK,))
    linux = configuration(limited, Process(("true",)), host)["linux"]
    assert isinstance(linux, dict)
    resources = linux["resources"]
    where = {"major": 8, "minor": 0}
    assert resources["blockIO"] == {
        "throttleReadBpsDevice": [{**where, "rate": 1000}],
        "throttleWriteBpsDevice": [{**where, "rate": 2000}],
        "throttleReadIOPSDevice": [{**where, "rate": 30}],
        "throttleWriteIOPSDevice": [{**where, "rate": 40}],
    }
    memory = {"limit": GIB} if unified_host else {"limit": GIB, "swap": GIB}
    assert resources["memory"] == memory
    assert resources.get("unified") == ({"memory.swap.max": "0"} if unified_host else None)
