"""Booting: the steps from a container's record to its first process, each undone by `clean`."""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.kernel import cgroups, hierarchies, inotify
from builder.host.places import PACKAGE, Places
from builder.host.process import launch
from builder.host.programs import PROMPT, Command, find_program, missing_program, on_host
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.runtime.bundle import facts, furnish, oci_runtime, pending, rootfs, spec
from builder.runtime.bundle.process import Process
from builder.runtime.record import given, inits, layout
from builder.runtime.record.container import Container, Init
from builder.runtime.record.layout import folder_of, volatile_of
from builder.runtime.record.state import State
from builder.runtime.recovery.held import Held
from builder.runtime.resources import limits

_CONSOLE_LIMIT = 16 << 20
"""Bytes of console that are kept; a container must not fill the host's disk by talking."""
_REASON = 2.0
"""Seconds that a runtime is given to say why it failed."""
_FOUND = "found.json"
"""A file beside the bundle with what the tree says of itself."""


class _Found(msgspec.Struct):
    """What a tree says of itself, whatever the record was told before."""

    init: Init
    hostname: str


class _Said(msgspec.Struct):
    """What conmon answers: the pid, or a reason."""

    data: int = -1
    message: str = ""


def prepare(held: Held) -> Path:
    """Write down that it is being started, and give the folder that it will see as `/run/host`."""
    if pending.is_instance(held.places, held.name):
        from builder.runtime.bundle import remake

        remake.follow(held.places, held.record)
    held.volatile.mkdir(mode=0o700, parents=True)
    held.become(State(phase="starting", boot=pids.boot_id(), since=int(time.time())))
    shared = held.volatile / layout.SHARED
    _prepare_shared(shared, held.record)
    return shared


def boot(held: Held, *, waiting: State | None = None) -> State:
    """Start what was prepared; give its state, which is written down.

    Its init has begun by then, and is not yet ready. `waiting` tells of the tries before this one.
    """
    places = held.places
    runtime = oci_runtime.find(places)
    pid = _create(places, held.record, runtime)
    _note_found(held)
    monitor = int((held.volatile / layout.MONITOR).read_text(encoding="ascii"))
    cgroups.set_apart(held.cgroup, monitor)
    cgroups.delegate(held.cgroup, held.record.first_id)
    addresses = _connect(places, held.record, pid)
    current = State(
        phase="starting",
        boot=pids.boot_id(),
        pid=pid,
        pid_started=pids.start_time(pid),
        monitor=monitor,
        monitor_started=pids.start_time(monitor),
        starter=os.getpid(),
        starter_started=pids.start_time(os.getpid()),
        since=int(time.time()),
        address=next(iter(addresses), None),
        addresses=addresses,
        engine=str(runtime),
        engine_copy=oci_runtime.keep(places, runtime),
        again=waiting.again if waiting else 0,
        reboots=waiting.reboots if waiting else 0,
    )
    held.become(current)
    given.write(places, held.name, given.at_start(held.record))
    furnish.furnish(held.name, pid)
    _start(places, held.name, runtime)
    # Only now, since one whose init has begun is never given up when this command dies.
    return held.become(msgspec.structs.replace(current, phase="booting"))


def _connect(places: Places, container: Container, pid: int) -> tuple[str, ...]:
    """Put a container that is not yet started on its networks; give its addresses."""
    if not container.interfaces:
        return ()
    from builder.runtime import network

    if pending.unanswered(places, container.name):
        container = msgspec.structs.replace(container, ports=())  # it is to serve nobody yet
    leases = network.attach(places, container, pid)
    return tuple(address for lease in leases for address in lease.addresses)


def _prepare_shared(shared: Path, container: Container) -> None:
    """Fill what the container sees as `/run/host` (https://systemd.io/CONTAINER_INTERFACE)."""
    shared.mkdir()
    (shared / "container-manager").write_text("oven\n", encoding="ascii")
    (shared / "container-uuid").write_text(f"{container.uuid}\n", encoding="ascii")
    furnish.write_boot_id(shared)
    with contextlib.suppress(FileNotFoundError):
        (shared / "os-release").write_bytes(Path("/etc/os-release").read_bytes())
    # Root inside reads by its group, and owns nothing: crun makes the mount in a way that lets root
    # inside write to it.
    credentials = shared / "credentials"
    credentials.mkdir(mode=0o550)
    os.chown(credentials, 0, container.first_id)


def _write_settings(shared: Path, settings: Mapping[str, bytes]) -> None:
    for folder, content in settings.items():
        target = shared / facts.SYSTEMD / folder
        target.mkdir(parents=True)
        (target / "00-oven.conf").write_bytes(content)


def _write_bundle(volatile: Path, container: Container, host: spec.HostFacts) -> None:
    process = Process(
        argv=inits.argv(container.init), env=spec.init_environment(container), terminal=True
    )
    (volatile / layout.BUNDLE).mkdir()
    content = spec.configuration(container, process, host)
    (volatile / "bundle/config.json").write_bytes(msgspec.json.encode(content))


def _create(places: Places, container: Container, runtime: Path) -> int:
    """Have conmon make the container, not yet started; give the pid of its first process."""
    name, volatile = container.name, volatile_of(places, container.name)
    (volatile / layout.EXIT).mkdir()
    answer, tell = os.pipe()
    folder = os.open(folder_of(places, name), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    told = os.open(_complaints(places, name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    environment = {
        "_OCI_SYNCPIPE": str(tell),
        "TMPDIR": str(places.temporary),
        "PYTHONPATH": str(PACKAGE.parent),
    }
    try:
        servers = rootfs.resolvers_for(places, container)
        here = rootfs.RootfsSpec(
            places, container, shared=volatile / layout.SHARED, resolvers=servers
        )
        settings = facts.settings(container, servers)
        _write_settings(volatile / layout.SHARED, settings)
        argv = _monitor(places, container, runtime, folder)
        host = facts.gather(places, container, shown=settings)
        own_cgroups = hierarchies.available()
        monitor = launch.launch(
            launch.Program(
                argv, environment, (null, null, told), (tell, folder), apart=True, plain=True
            ),
            lambda: _enter(here, host, own_cgroups=own_cgroups),
            lambda child: limits.join(places, container, child),
        )
    finally:
        for fd in (tell, null, told, folder):
            os.close(fd)
    return _first_pid(places, name, monitor, answer)


def _monitor(places: Places, container: Container, runtime: Path, folder: int) -> list[str]:
    """Write the call of conmon (conmon(8)); `folder` is a descriptor of the container's folder."""
    conmon = find_program("conmon")
    if conmon is None:
        raise missing_program("conmon")
    name, volatile = container.name, volatile_of(places, container.name)
    program, *arguments = oci_runtime.command(runtime, places, name, _log(places, name))
    return [
        str(conmon), "--api-version", "1", "--cid", name, "--cuuid", container.uuid,
        "--name", name, "--runtime", program, "--bundle", str(volatile / layout.BUNDLE),
        "--container-pidfile", str(volatile / "container.pid"),
        "--conmon-pidfile", str(volatile / layout.MONITOR),
        "--exit-dir", str(volatile / layout.EXIT),
        # By its descriptor, since a colon in a path would end it for conmon.
        "--log-path", f"k8s-file:/proc/self/fd/{folder}/{layout.CONSOLE}",
        "--log-size-max", str(_CONSOLE_LIMIT), "--full-attach", "--terminal",
        *_after(places, name),
        *(f"--runtime-arg={word}" for word in arguments),
    ]  # fmt: skip


def _enter(here: rootfs.RootfsSpec, host: spec.HostFacts, *, own_cgroups: bool) -> None:
    """Enter the room, and write there what depends on its init and its name as they turn out to be.

    Whatever has changed the tree since, a template, a snapshot or a person inside: it is the tree
    that says what will run.
    """
    places, name = here.places, here.container.name
    hostname = rootfs.enter(here)
    with TreeIO(places.rootfs) as tree:
        init = inits.find(tree)
    container = msgspec.structs.replace(here.container, init=init, hostname=hostname)
    if places.ordinary and container.init == "systemd" and not own_cgroups:
        raise HostError(
            f"container `{name}` cannot boot: systemd in it needs a cgroup of its own,"
            " and nobody has given this user any",
            hint=f"{hierarchies.HOW_USERS_GET_ONE}; single commands (`oven run TEMPLATE -- CMD`)"
            " and other inits need none",
        )
    volatile = volatile_of(places, name)
    _write_bundle(volatile, container, host)
    (volatile / _FOUND).write_bytes(msgspec.json.encode(_Found(init, hostname)))
    if pending.is_instance(places, name):
        from builder.runtime.bundle import instance

        with rootfs.told_of_disk(here):
            instance.apply(places, container, volatile / "host/credentials")
    if pending.waits(places, name):
        from builder.runtime.bundle import first_boot

        with rootfs.told_of_disk(here):
            first_boot.apply(places, container)
        first_boot.show(places, container, volatile / "host/credentials")


def _note_found(held: Held) -> None:
    """Keep which kind of init was found, and a host name that was changed inside."""
    found = msgspec.json.decode((held.volatile / _FOUND).read_bytes(), type=_Found)
    now = msgspec.structs.replace(held.record, init=found.init, hostname=found.hostname)
    if now != held.record:
        held.save(now)


def _after(places: Places, name: str) -> tuple[str, ...]:
    """Have conmon become `ended` once the container's first process has ended."""
    words = ("-m", "builder.runtime.lifecycle.on_exit", places.as_word(), name)
    arguments = (option for word in words for option in ("--exit-command-arg", word))
    return ("--exit-command", sys.executable, *arguments)


def _first_pid(places: Places, name: str, monitor: int, answer: int) -> int:
    """Read what conmon says of the container that it had made."""
    if not pids.wait_readable(answer, os.getpid(), PROMPT):
        _give_up(places, name)
        program = oci_runtime.find(places).name
        raise HostError(
            f"cannot create container `{name}`: `conmon` or `{program}` gives no answer within"
            f" {PROMPT:g} seconds, and is given up",
            hint=f"see whether `conmon --version` and `{program} --version` answer on this host",
        )
    with open(answer, "rb") as file:  # opened by descriptor
        line = file.readline()
    # This one only begins the real monitor, which is told of in `conmon.pid`.
    launch.wait(monitor)
    said = msgspec.json.decode(line or b"{}", type=_Said)
    if said.data <= 0:
        raise HostError(
            f"cannot create container `{name}`: "
            + (
                oci_runtime.complaint(_log(places, name))
                or said.message
                or _late_complaint(places, name)
                or _last_word(places, name)
            )
        )
    return said.data


def _give_up(places: Places, name: str) -> None:
    """Kill the monitor and the runtime that it calls; not everybody has a cgroup for that."""
    with contextlib.suppress(OSError, ValueError):
        monitor = int((volatile_of(places, name) / layout.MONITOR).read_text(encoding="ascii"))
        pids.end_all(monitor)


def _late_complaint(places: Places, name: str) -> str | None:
    """Give the runtime's reason; conmon may end (2.1.12 does) before that has written it down."""
    deadline = time.monotonic() + _REASON
    with inotify.Folder(volatile_of(places, name)) as folder:
        while (reason := oci_runtime.complaint(_log(places, name))) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            folder.wait(left)
    return reason


def _last_word(places: Places, name: str) -> str:
    """Give what conmon said at the end, without the marks of its log."""
    text = _complaints(places, name).read_text(encoding="utf-8", errors="replace").strip()
    _, _, reason = text.rpartition("\n")[2].rpartition("]: ")
    return reason or "conmon gave no reason"


def _start(places: Places, name: str, runtime: Path) -> None:
    log = _log(places, name)
    done = on_host(
        Command((*oci_runtime.command(runtime, places, name, log), "start", name), limit=PROMPT)
    )
    if done.code != 0:
        reason = oci_runtime.complaint(log) or done.output.strip()
        raise HostError(f"cannot start container `{name}`: {reason}")


def _complaints(places: Places, name: str) -> Path:
    return volatile_of(places, name) / "conmon.log"


def _log(places: Places, name: str) -> Path:
    return volatile_of(places, name) / "oci.log"
