"""Usage: what containers take of the host now, beside what they may take."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from builder.host.kernel import block_devices, cgroups
from builder.host.kernel.cgroups import Accounting
from builder.host.places import Places
from builder.model.value import Value
from builder.runtime.record.layout import cgroup_of
from builder.runtime.storage import writable

# Limits are those that the kernel holds, which is what counts. A number that this host does not
# have is None, and so is a limit that there is not.

_UNLIMITED = 1 << 62
"""Version 1 tells no limit as the largest number of whole pages."""


class Memory(Value, frozen=True, kw_only=True):
    """Bytes of memory."""

    used: int | None = None
    """All that is charged to the container, files that it was the first to read included."""
    limit: int | None = None
    cache: int | None = None
    """The part of it that holds files, of which the kernel can take back nearly all."""
    tmpfs: int | None = None
    """The part of `cache` that no disk has, and stays: tmpfs and memory shared by programs."""
    anonymous: int | None = None
    """The part that only programs hold."""
    swap: int | None = None
    swap_limit: int | None = None
    oom_kills: int | None = None
    """Processes that the kernel has killed since the start, for there was no memory left."""


class Processor(Value, frozen=True, kw_only=True):
    """Time of processors."""

    seconds: float | None = None
    """Used since the start, of all processors together."""
    limit: float | None = None
    """Processors."""
    throttled: int | None = None
    """How often it had to wait because of its limit."""
    throttled_seconds: float | None = None


class Traffic(Value, frozen=True, kw_only=True):
    """What was read from and written to disks since the start; None where nothing counts it."""

    read_bytes: int | None = None
    written_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None


class Count(Value, frozen=True, kw_only=True):
    """A number of things, and how many there may be."""

    used: int | None = None
    limit: int | None = None


class Cable(Value, frozen=True, kw_only=True):
    """What came and went through a network interface since the start."""

    name: str
    received_bytes: int
    sent_bytes: int
    received_packets: int
    sent_packets: int


class Space(Value, frozen=True, kw_only=True):
    """What it has changed and added on disk, and how much that may be."""

    used_bytes: int
    limit_bytes: int
    used_inodes: int | None = None
    limit_inodes: int | None = None


class Stall(Value, frozen=True, kw_only=True):
    """Percent of the last ten seconds in which processes waited for something (psi.rst)."""

    some: float
    """In which at least one waited."""
    full: float
    """In which all that were not idle waited."""


class Pressure(Value, frozen=True, kw_only=True):
    """What a container waits for."""

    cpu: Stall | None = None
    memory: Stall | None = None
    io: Stall | None = None


class Usage(Value, frozen=True, kw_only=True):
    """All of a container at one moment."""

    at: float
    """Seconds of a clock that only goes on."""
    memory: Memory
    cpu: Processor
    io: Traffic
    pids: Count
    network: tuple[Cable, ...]
    disk: Space | None = None
    """None where its disk is not limited."""
    pressure: Pressure


class Rates(Value, frozen=True, kw_only=True):
    """What happened between two moments; each but the first is per second."""

    interval: float
    """Seconds."""
    cpu: float | None = None
    """Percent; 100 is one whole processor."""
    read_bytes: float | None = None
    written_bytes: float | None = None
    reads: float | None = None
    writes: float | None = None
    received_bytes: float
    sent_bytes: float


@contextmanager
def reader(places: Places) -> Iterator[Callable[[str, int], Usage]]:
    """Lend a function that tells of a running container, by its name and its first process."""
    accounts = cgroups.accounts()
    with cgroups.unified_guests() as unified:
        sources = UsageSources(accounts, unified)

        def look(name: str, pid: int) -> Usage:
            found = read(cgroup_of(places, name), pid, sources)
            return msgspec.structs.replace(found, disk=_space(places, name))

        yield look


def kills(places: Places, name: str) -> dict[str, int]:
    """Tell how many processes of a container the kernel has killed for memory, if any."""
    accounts = cgroups.accounts()
    sources = UsageSources(accounts, lambda *_: b"")
    file = "memory.events" if accounts.unified else "memory.oom_control"
    count = sources.table("memory", cgroup_of(places, name), file).get("oom_kill")
    return {"oom_kills": count} if count else {}


class UsageSources:
    """Where the numbers of containers are read."""

    def __init__(self, accounts: Accounting, unified: Callable[[str, str], bytes]) -> None:
        self.accounts = accounts
        self.unified = unified

    def text(self, controller: str, cgroup: str, file: str) -> str:
        """Read a file of a controller's cgroup; what is not there is empty."""
        if controller not in self.accounts.folders:
            return ""
        return _text(self.accounts.guest(controller, cgroup) / file)

    def number(self, controller: str, cgroup: str, file: str) -> int | None:
        """Read a number; None for none, for no limit too."""
        return _number(self.text(controller, cgroup, file))

    def table(self, controller: str, cgroup: str, file: str) -> dict[str, int]:
        """Read lines of a word and a number."""
        return _table(self.text(controller, cgroup, file))


def read(cgroup: str, pid: int, sources: UsageSources) -> Usage:
    """Tell of a container but for its disk, by the name of its cgroup and its first process."""
    unified = sources.accounts.unified
    return Usage(
        at=time.monotonic(),
        memory=_memory(cgroup, sources) if unified else _legacy_memory(cgroup, sources),
        cpu=_processor(cgroup, sources),
        io=_traffic(cgroup, sources) if unified else _legacy_traffic(cgroup, sources),
        pids=Count(
            used=sources.number("pids", cgroup, "pids.current"),
            limit=sources.number("pids", cgroup, "pids.max"),
        ),
        network=_cables(_text(Path(f"/proc/{pid}/net/dev"))),
        pressure=Pressure(
            **{kind: _stall(sources.unified(cgroup, f"{kind}.pressure")) for kind in _KINDS}
        ),
    )


def rates(first: Usage, second: Usage) -> Rates:
    """Tell how fast things went between two moments of one container."""
    interval = max(second.at - first.at, 1e-9)

    def speed(before: float | None, after: float | None) -> float | None:
        if before is None or after is None:
            return None
        return max(after - before, 0) / interval

    cpu = speed(first.cpu.seconds, second.cpu.seconds)
    before, after = _carried(first), _carried(second)
    return Rates(
        interval=interval,
        cpu=None if cpu is None else cpu * 100,
        read_bytes=speed(first.io.read_bytes, second.io.read_bytes),
        written_bytes=speed(first.io.written_bytes, second.io.written_bytes),
        reads=speed(first.io.reads, second.io.reads),
        writes=speed(first.io.writes, second.io.writes),
        received_bytes=max(after[0] - before[0], 0) / interval,
        sent_bytes=max(after[1] - before[1], 0) / interval,
    )


def _carried(usage: Usage) -> tuple[int, int]:
    """Add up what came and went through all cables."""
    cables = usage.network
    return sum(one.received_bytes for one in cables), sum(one.sent_bytes for one in cables)


_KINDS = ("cpu", "memory", "io")


def _space(places: Places, name: str) -> Space | None:
    if writable.image_of(places, name) is None:
        return None
    from builder.runtime.storage import image  # most containers have none

    room = image.usage(places, name)
    if room is None:
        return None
    return Space(
        used_bytes=room.used,
        limit_bytes=room.size,
        used_inodes=room.files_used if room.files else None,
        limit_inodes=room.files or None,
    )


def _memory(cgroup: str, sources: UsageSources) -> Memory:
    about = sources.table("memory", cgroup, "memory.stat")
    return Memory(
        used=sources.number("memory", cgroup, "memory.current"),
        limit=sources.number("memory", cgroup, "memory.max"),
        cache=about.get("file"),
        tmpfs=about.get("shmem"),
        anonymous=about.get("anon"),
        swap=sources.number("memory", cgroup, "memory.swap.current"),
        swap_limit=sources.number("memory", cgroup, "memory.swap.max"),
        oom_kills=sources.table("memory", cgroup, "memory.events").get("oom_kill"),
    )


def _legacy_memory(cgroup: str, sources: UsageSources) -> Memory:
    about = sources.table("memory", cgroup, "memory.stat")
    limit = sources.number("memory", cgroup, "memory.limit_in_bytes")
    both = sources.number("memory", cgroup, "memory.memsw.limit_in_bytes")
    return Memory(
        used=sources.number("memory", cgroup, "memory.usage_in_bytes"),
        limit=limit,
        cache=about.get("total_cache"),
        tmpfs=about.get("total_shmem"),
        anonymous=about.get("total_rss"),
        swap=about.get("total_swap"),
        swap_limit=None if limit is None or both is None else both - limit,
        oom_kills=sources.table("memory", cgroup, "memory.oom_control").get("oom_kill"),
    )


def _processor(cgroup: str, sources: UsageSources) -> Processor:
    # Version 2 counts time everywhere, also where version 1 is what limits it.
    counted = _table(sources.unified(cgroup, "cpu.stat").decode("ascii"))
    waited = sources.table("cpu", cgroup, "cpu.stat")
    if "throttled_usec" in waited:
        seconds: float | None = waited["throttled_usec"] / 1e6
    else:
        seconds = waited["throttled_time"] / 1e9 if "throttled_time" in waited else None
    used = counted.get("usage_usec")
    return Processor(
        seconds=None if used is None else used / 1e6,
        limit=_processors(cgroup, sources),
        throttled=waited.get("nr_throttled"),
        throttled_seconds=seconds,
    )


def _processors(cgroup: str, sources: UsageSources) -> float | None:
    if sources.accounts.unified:
        quota, _, period = sources.text("cpu", cgroup, "cpu.max").partition(" ")
    else:
        quota = sources.text("cpu", cgroup, "cpu.cfs_quota_us")
        period = sources.text("cpu", cgroup, "cpu.cfs_period_us")
    allowed, of = _number(quota), _number(period)
    return allowed / of if allowed and of else None


def _traffic(cgroup: str, sources: UsageSources) -> Traffic:
    """Add up the lines of `io.stat`, such as `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0`."""
    total = dict.fromkeys(("rbytes", "wbytes", "rios", "wios"), 0)
    text = sources.text("io", cgroup, "io.stat")
    for line in text.splitlines():
        device, *words = line.split()
        if block_devices.is_lowest(device):
            for word in words:
                key, _, value = word.partition("=")
                if key in total:
                    total[key] += int(value)
    if "io" not in sources.accounts.folders:
        return Traffic()
    return Traffic(
        read_bytes=total["rbytes"], written_bytes=total["wbytes"], reads=total["rios"],
        writes=total["wios"],
    )  # fmt: skip


def _legacy_traffic(cgroup: str, sources: UsageSources) -> Traffic:
    total = "blkio.throttle.io_service_bytes_recursive"
    root = sources.accounts.folders.get("blkio")
    if root is None or _text(root / total).strip() in {"", "Total 0"}:
        return Traffic()  # the kernel counts only from when any limit was first set on
    size = _operations(sources.text("blkio", cgroup, total))
    count = _operations(sources.text("blkio", cgroup, "blkio.throttle.io_serviced_recursive"))
    return Traffic(
        read_bytes=size["Read"], written_bytes=size["Write"], reads=count["Read"],
        writes=count["Write"],
    )  # fmt: skip


def _operations(text: str) -> Mapping[str, int]:
    """Add up lines such as `8:0 Read 4096` over the disks."""
    total = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in total and block_devices.is_lowest(words[0]):
            total[words[1]] += int(words[2])
    return total


def _cables(text: str) -> tuple[Cable, ...]:
    """Read `/proc/net/dev` (proc_pid_net(5)): sixteen numbers for each, eight of each direction."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        columns = [int(word) for word in numbers.split()]
        if name.strip() != "lo":
            found.append(
                Cable(
                    name=name.strip(), received_bytes=columns[0], received_packets=columns[1],
                    sent_bytes=columns[8], sent_packets=columns[9],
                )
            )  # fmt: skip
    return tuple(found)


def _stall(data: bytes) -> Stall | None:
    shares = {}
    for line in data.decode("ascii").splitlines():
        kind, average, *_ = line.split()
        shares[kind] = float(average.removeprefix("avg10="))
    if "some" not in shares:
        return None
    # Of processors no process can be without, so that older kernels have no such line.
    return Stall(some=shares["some"], full=shares.get("full", 0.0))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:  # no such controller, or the container has just ended
        return ""


def _number(text: str) -> int | None:
    text = text.strip()
    if not text.isdigit() or int(text) >= _UNLIMITED:
        return None
    return int(text)


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
