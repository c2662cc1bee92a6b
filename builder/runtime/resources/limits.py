"""Limits: what of them this host can enforce, and how each is written to the kernel."""

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from builder.host.kernel import block_devices, cgroups, hierarchies
from builder.host.kernel.block_devices import BlockDevice
from builder.host.kernel.cgroups import Accounting
from builder.host.places import Places
from builder.model.errors import ConflictError, HostError
from builder.runtime.record.container import Container, Limits, rootfs_of
from builder.runtime.record.layout import cgroup_of

# At a start the OCI runtime sets them, before the first process runs (`spec.py`); a running
# container's are written here. Its `update` would carry only some, and tells of no file that the
# kernel refused. Memory, processors and processes are limited in `guest`, where all processes are.
# The weight counts between siblings, so it belongs to the cgroup above, which no runtime knows of.

PERIOD = 100_000
"""Microseconds over which a share of processors is counted, as everywhere."""
_NO_QUOTA, _NO_BYTES = "-1", "-1"
_USUAL_WEIGHT, _USUAL_SHARES = 100, 1024
_USUAL_PROCESSES = 16384
_RATES = (
    ("read_bytes", "rbps", "read_bps_device"),
    ("write_bytes", "wbps", "write_bps_device"),
    ("read_operations", "riops", "read_iops_device"),
    ("write_operations", "wiops", "write_iops_device"),
)
"""The field, its word in `io.max` (version 2), and its file (version 1)."""


class KernelWrite(msgspec.Struct, frozen=True):
    """A value for a file of the kernel."""

    path: Path
    value: str


def check(places: Places, container: Container) -> None:
    """Refuse a limit that this host cannot enforce, instead of forgetting it."""
    limits = container.limits
    if limits == Limits():
        return
    accounts = cgroups.accounts()
    io = "io" if accounts.unified else "blkio"
    wanted = {
        "memory": (limits.memory, limits.swap),
        "pids": (limits.pids,),
        "cpu": (limits.cpus, limits.weight),
        io: _rates(limits),
    }
    for controller, values in wanted.items():
        if any(value is not None for value in values) and controller not in accounts.folders:
            raise _not_there(places, controller, accounts)
    if limits.swap is not None:
        _check_swap(limits, accounts)
    if any(value is not None for value in _rates(limits)):
        _check_rates(limits, accounts, disks_of(places, container))
    if limits.disk is not None or limits.inodes is not None:
        from builder.runtime.storage import image  # most containers have no such limit

        image.check(limits)


def usual_processes() -> int | None:
    """Give how many processes a container may have that was given no number.

    Enough for all that people run (systemd-nspawn@.service has the same number), and few enough for
    four to leave the host process ids. None where this user cannot limit them.
    """
    if not cgroups.path_of("") or "pids" not in cgroups.controllers():
        return None
    most = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    return min(_USUAL_PROCESSES, most // 4)


def disks_of(places: Places, container: Container) -> tuple[BlockDevice, ...]:
    """Find the disks behind a container's files; none when no limit of it needs them."""
    if all(value is None for value in _rates(container.limits)):
        return ()
    return _disks(places, container)


def join(places: Places, container: Container, pid: int) -> None:
    """Put a process that will become a container's among its cgroups, which get their weight."""
    name = cgroup_of(places, container.name)
    cgroups.join(name, pid)
    if container.limits.weight is not None:
        accounts = cgroups.accounts()
        if accounts.unified:
            cgroups.offer(name, "cpu")
        apply(container, (weight_write(accounts, name, container.limits.weight),))


def changes(
    places: Places, container: Container, old: Limits | None = None
) -> tuple[KernelWrite, ...]:
    """List what is to be written for a running container, in order; all of it without `old`."""
    accounts, name = cgroups.accounts(), cgroup_of(places, container.name)
    found: tuple[BlockDevice, ...] = ()
    if old is None:
        with contextlib.suppress(HostError):  # then no rate was ever set
            found = _disks(places, container)
    elif _rates(old) != _rates(container.limits):
        found = _disks(places, container)
    writes = translated(container.limits, accounts, name, found)
    if old is not None:
        before = set(translated(old, accounts, name, found))
        writes = tuple(write for write in writes if write not in before)
    return tuple(write for write in writes if write.path.exists() or not _takes_away(write))


def translated(
    limits: Limits, accounts: Accounting, name: str, devices: Sequence[BlockDevice]
) -> tuple[KernelWrite, ...]:
    """Say which file gets which value, in the order that the two limits of memory need."""
    kinds = (
        _unified(limits, accounts, name) if accounts.unified else _legacy(limits, accounts, name)
    )
    rates = _unified_rates if accounts.unified else _legacy_rates
    return (*kinds, *rates(limits, accounts, name, devices))


def weight_write(accounts: Accounting, name: str, weight: int | None) -> KernelWrite:
    """Say how a share of processors is set; version 1 calls 1024 what version 2 calls 100."""
    weight = weight or _USUAL_WEIGHT
    folder = accounts.whole("cpu", name)
    if accounts.unified:
        return KernelWrite(folder / "cpu.weight", str(weight))
    # Not the formula of the OCI runtimes, by which the usual weight is 2.5 times the usual share.
    return KernelWrite(folder / "cpu.shares", str(max(2, weight * _USUAL_SHARES // _USUAL_WEIGHT)))


def apply(container: Container, writes: Sequence[KernelWrite]) -> None:
    """Write all of it; ConflictError when a container uses more than it is to have."""
    for write in writes:
        try:
            _make_room(write)
            write.path.write_text(write.value, encoding="ascii")
        except OSError as error:
            raise _refused(container, write, error) from error


def _not_there(places: Places, controller: str, accounts: Accounting) -> HostError:
    if not places.ordinary:
        return HostError(
            f"this host cannot limit {controller}: it has no such cgroup controller",
            hint="leave the limit out, or enable the controller on the kernel's command line",
        )
    reason, hint = (
        "this user's cgroup has not been given that controller",
        (
            "leave the limit out, or have root `systemctl edit user@.service`, with `[Service]`"
            " and `Delegate=cpu cpuset io memory pids`, and log in anew"
        ),
    )
    if not accounts.unified:
        reason, hint = (
            "with version 1 cgroups that is root's",
            (
                "leave the limit out, run it as root, or boot with"
                " `systemd.unified_cgroup_hierarchy=1`"
            ),
        )
    elif not hierarchies.available():
        reason, hint = "nobody has given this user a cgroup", hierarchies.HOW_USERS_GET_ONE
    return HostError(f"an ordinary user cannot limit {controller} here: {reason}", hint=hint)


def _rates(limits: Limits) -> tuple[int | None, ...]:
    return tuple(getattr(limits, field) for field, _, _ in _RATES)


def _disks(places: Places, container: Container) -> tuple[BlockDevice, ...]:
    folders = (places.data, rootfs_of(places, container))
    return tuple(dict.fromkeys(block_devices.disk_of(folder) for folder in folders))


def _check_swap(limits: Limits, accounts: Accounting) -> None:
    if not _counts_swap(accounts):
        raise HostError(
            "this host cannot limit swap: its kernel does not count it",
            hint="boot it with `swapaccount=1`, or leave `--swap` out",
        )
    if not accounts.unified and limits.memory is None:
        raise HostError(
            "this host can limit swap only together with memory: it uses version 1 cgroups",
            hint="give `--memory` too, or `--swap none`",
        )


def _counts_swap(accounts: Accounting) -> bool:
    root = accounts.folders["memory"]
    if not accounts.unified:
        return (root / "memory.memsw.limit_in_bytes").exists()
    # The root of version 2 has no such file; any cgroup below that counts memory shows it.
    counting = [folder for folder in root.iterdir() if (folder / "memory.max").exists()]
    return not counting or (counting[0] / "memory.swap.max").exists()


def _check_rates(limits: Limits, accounts: Accounting, devices: Sequence[BlockDevice]) -> None:
    if limits.write_bytes is None and limits.write_operations is None:
        return
    if not accounts.unified:
        raise HostError(
            "this host cannot limit what a container writes to disks: with version 1 cgroups the "
            "kernel counts what is written later, as nearly all is, as nobody's",
            hint="leave the limit out, or boot with `systemd.unified_cgroup_hierarchy=1`; "
            "reading can be limited",
        )
    if not all(device.writeback for device in devices) or "memory" not in accounts.folders:
        raise HostError(
            "this host cannot limit what a container writes to disks: its file system does not "
            "tell who has written what is written later",
            hint="ext4, XFS and btrfs do; reading can be limited on any",
        )


def _unified(limits: Limits, accounts: Accounting, name: str) -> Iterator[KernelWrite]:
    """Translate for version 2 (cgroup-v2.rst)."""
    values = {
        "memory": {"memory.max": _or_max(limits.memory), "memory.swap.max": _or_max(limits.swap)},
        "pids": {"pids.max": _processes(limits)},
        "cpu": {"cpu.max": f"{_quota(limits.cpus) or 'max'} {PERIOD}"},
    }
    for controller, files in values.items():
        if controller in accounts.folders:
            folder = accounts.guest(controller, name)
            yield from (KernelWrite(folder / file, value) for file, value in files.items())
    if "cpu" in accounts.folders:
        yield weight_write(accounts, name, limits.weight)


def _legacy(limits: Limits, accounts: Accounting, name: str) -> Iterator[KernelWrite]:
    """Translate for version 1 (Documentation/admin-guide/cgroup-v1 and sched-bwc.rst)."""
    if "memory" in accounts.folders:
        yield from _legacy_memory(limits, accounts.guest("memory", name))
    if "pids" in accounts.folders:
        yield KernelWrite(accounts.guest("pids", name) / "pids.max", _processes(limits))
    if "cpu" in accounts.folders:
        folder = accounts.guest("cpu", name)
        yield KernelWrite(folder / "cpu.cfs_period_us", str(PERIOD))
        yield KernelWrite(folder / "cpu.cfs_quota_us", str(_quota(limits.cpus) or _NO_QUOTA))
        yield weight_write(accounts, name, limits.weight)


def _legacy_memory(limits: Limits, folder: Path) -> Iterator[KernelWrite]:
    """Limit memory, and the sum of memory and swap, which must never be the lower of the two."""
    both = None
    if limits.memory is not None and limits.swap is not None:
        both = limits.memory + limits.swap
    memory = KernelWrite(folder / "memory.limit_in_bytes", _or(limits.memory, _NO_BYTES))
    total = KernelWrite(folder / "memory.memsw.limit_in_bytes", _or(both, _NO_BYTES))
    try:
        now = int(total.path.read_text(encoding="ascii"))
    except FileNotFoundError:
        now = 0
    yield from (total, memory) if both is None or both > now else (memory, total)


def _unified_rates(
    limits: Limits, accounts: Accounting, name: str, devices: Sequence[BlockDevice]
) -> Iterator[KernelWrite]:
    words = " ".join(f"{word}={_or_max(getattr(limits, field))}" for field, word, _ in _RATES)
    for device in devices:
        yield KernelWrite(accounts.guest("io", name) / "io.max", f"{device} {words}")


def _legacy_rates(
    limits: Limits, accounts: Accounting, name: str, devices: Sequence[BlockDevice]
) -> Iterator[KernelWrite]:
    for device in devices:
        for field, _, file in _RATES:
            path = accounts.guest("blkio", name) / f"blkio.throttle.{file}"
            # 0 takes the limit away (blkio-controller.rst).
            yield KernelWrite(path, f"{device} {getattr(limits, field) or 0}")


def _processes(limits: Limits) -> str:
    return _or_max(limits.pids or usual_processes())


def _quota(cpus: float | None) -> int | None:
    return None if cpus is None else round(cpus * PERIOD)


def _or(value: int | None, none: str) -> str:
    return none if value is None else str(value)


def _or_max(value: int | None) -> str:
    return _or(value, "max")


def _takes_away(write: KernelWrite) -> bool:
    """Tell whether a value means no limit, which a file that is not there does too."""
    first, *rest = write.value.split()
    if write.path.name == "io.max":
        return all(word.endswith("=max") for word in rest)
    if write.path.name.startswith("blkio."):
        return rest == ["0"]
    usual = {
        "cpu.weight": "100",
        "cpu.shares": "1024",
        "cpu.cfs_period_us": str(PERIOD),
        "pids.max": str(usual_processes()),
    }
    return first in {"max", "-1", usual.get(write.path.name)}


def _make_room(write: KernelWrite) -> None:
    """Have version 2 take back what it can, or it would kill processes to get below a new limit."""
    if write.path.name != "memory.max" or write.value == "max":
        return
    used = write.path.with_name("memory.current")
    excess = int(used.read_text(encoding="ascii")) - int(write.value)
    if excess <= 0:
        return
    try:
        write.path.with_name("memory.reclaim").write_text(str(excess), encoding="ascii")
    except OSError as error:
        # EAGAIN is less than was asked for; Linux before 5.19 has no such file.
        if error.errno not in {errno.EAGAIN, errno.ENOENT}:
            raise
    if int(used.read_text(encoding="ascii")) > int(write.value):
        raise OSError(errno.EBUSY, "in use", str(write.path))


def _refused(container: Container, write: KernelWrite, error: OSError) -> ConflictError | HostError:
    if error.errno == errno.EBUSY and write.path.name.startswith("memory."):
        counts = {
            "memory.max": "memory.current",
            "memory.limit_in_bytes": "memory.usage_in_bytes",
            "memory.memsw.limit_in_bytes": "memory.memsw.usage_in_bytes",
        }
        used = write.path.with_name(counts.get(write.path.name, "memory.current"))
        megabytes = int(used.read_text(encoding="ascii")) / (1 << 20)
        return ConflictError(
            f"container `{container.name}` uses {megabytes:.1f} MiB, and cannot be held to "
            f"{int(write.value) / (1 << 20):.1f} MiB",
            hint="stop something in it first, or choose more; nothing was changed",
        )
    return HostError(
        f"the kernel refuses `{write.value}`: {error.strerror}", at=write.path,
        hint="nothing was changed",
    )  # fmt: skip
