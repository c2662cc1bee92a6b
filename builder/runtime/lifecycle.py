"""The life of a container: created, started, stopped, destroyed."""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from builder.host import cgroups, launch, processes
from builder.host.notify import Listener
from builder.host.places import Places
from builder.host.process import Command, find_program, missing_program, on_host
from builder.model.errors import ConflictError, HostError, StageError
from builder.model.progress import Reporter
from builder.model.value import Digest
from builder.runtime import engine, journal, room, spec, state, storage
from builder.runtime.container import (
    Container,
    Limits,
    cgroup_of,
    check_name,
    folder_of,
    volatile_of,
)
from builder.runtime.state import State

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 90.0

_CONSOLE_LIMIT = 16 << 20
"""Bytes of console that are kept; a container must not fill the host's disk by talking."""

_INITS: dict[str, tuple[tuple[str, ...], int]] = {
    # systemd halts at SIGRTMIN+3 (https://systemd.io/CONTAINER_INTERFACE), busybox's init powers
    # off at SIGUSR2, sysvinit knows SIGPWR where /etc/inittab says so.
    "systemd": (("/sbin/init",), 37),
    "openrc": (("/sbin/init",), 12),
    "sysvinit": (("/sbin/init",), 30),
    "other": (("/sbin/init",), 15),
}
"""What each kind of init is called, and the signal that makes it shut down."""


class _Said(msgspec.Struct):
    """What conmon answers: the pid, or a reason."""

    data: int = -1
    message: str = ""


def new_container(name: str, template: Digest, template_name: str) -> Container:
    """Begin a container's record; `create` chooses its ids."""
    return Container(
        name=name,
        template=template,
        template_name=template_name,
        uuid=os.urandom(16).hex(),
        first_id=0,
        created=int(time.time()),
        hostname=name.replace(".", "-"),
    )


def create(
    places: Places, container: Container, extras: Mapping[str, bytes] = MappingProxyType({})
) -> Container:
    """Keep a new container, stopped; give it as it was kept.

    `extras` are more files for its folder, by name; only root can read them.
    """
    check_limits(container.limits)
    return storage.make(places, container, extras)


def start(places: Places, name: str, report: Reporter, *, timeout: float = READY_TIMEOUT) -> State:
    """Start a container and wait until its init says that all is up.

    One that runs already stays as it is. One that ends before it is ready is cleaned up; one that
    is only late goes on running, so that one can look inside. Both are a StageError with the last
    of the console.
    """
    with journal.holding(places, name) as container:
        current = state.read(places, name)
        if current is not None:
            return current
        task = report.begin(f"starting {name}")
        try:
            current, verdict = _start(places, container, timeout)
        except BaseException:
            journal.clean(places, name, networked=bool(container.interfaces))
            raise
        finally:
            task.close()
    if verdict == "late":
        raise StageError(
            f"container `{name}` is not ready after {timeout:g} seconds, and goes on running",
            hint=f"`oven enter {name}` to look inside, `oven stop {name}` to stop it",
            output=_console(places, name),
        )
    return current


def stop(places: Places, name: str, *, timeout: float = STOP_TIMEOUT) -> None:
    """Ask the init to shut down, and kill what is left after the timeout; stopped is fine."""
    with journal.holding(places, name) as container:
        _stop(places, container, timeout)
        if container.remove:
            storage.remove(places, name)


def destroy(places: Places, name: str, *, force: bool = False) -> None:
    """Remove a container and all that is in it; a running one only by `force`."""
    check_name(name)
    with journal.holding(places, name) as container:
        if state.read(places, name) is not None:
            if not force:
                raise ConflictError(
                    f"container `{name}` is running",
                    hint=f"`oven stop {name}` first, or `oven destroy --force {name}`",
                )
            journal.clean(places, name, networked=bool(container.interfaces))
        storage.remove(places, name)


def _start(places: Places, container: Container, timeout: float) -> tuple[State, str]:
    """Do the work of `start` under the lock; what fails here leaves the undoing to the caller."""
    name = container.name
    check_limits(container.limits)
    volatile = volatile_of(places, name)
    volatile.mkdir(mode=0o700, parents=True)
    current = State(phase="starting", boot=processes.boot_id(), since=int(time.time()))
    state.write(places, name, current)
    _prepare_shared(volatile / "host", container)
    with Listener(volatile / "host/notify") as listener:
        _write_bundle(places, container)
        pid = _create(places, container)
        monitor = int((volatile / "conmon.pid").read_text(encoding="ascii"))
        cgroups.set_apart(cgroup_of(places, name), monitor)
        cgroups.delegate(cgroup_of(places, name), container.first_id)
        address = None
        if container.interfaces:
            from builder.runtime import network

            address = network.attach(places, container, pid).address
        current = msgspec.structs.replace(
            current,
            pid=pid,
            pid_started=processes.start_time(pid),
            monitor=monitor,
            monitor_started=processes.start_time(monitor),
            address=address,
        )
        state.write(places, name, current)
        _run_engine(places, name, "start", name)
        verdict = _await_ready(listener, container, current, timeout)
    if verdict == "ended":
        raise StageError(
            f"container `{name}` ended before it was ready",
            hint="the end of its console is shown",
            output=_console(places, name),
        )
    current = msgspec.structs.replace(current, phase="running", ready=verdict == "ready")
    state.write(places, name, current)
    return current, verdict


def _await_ready(listener: Listener, container: Container, current: State, timeout: float) -> str:
    pidfd = processes.hold(current.pid, current.pid_started)
    if pidfd is None:
        return "ended"
    try:
        if container.init != "systemd":
            return "ready"
        return listener.wait_ready(pidfd, timeout)
    finally:
        os.close(pidfd)


def _stop(places: Places, container: Container, timeout: float) -> None:
    current = state.read(places, container.name)
    pidfd = processes.hold(current.pid, current.pid_started) if current else None
    if pidfd is not None:
        processes.send(pidfd, _INITS[container.init][1])
        processes.wait_end(pidfd, timeout)
        os.close(pidfd)
    journal.clean(places, container.name, networked=bool(container.interfaces))


def _prepare_shared(shared: Path, container: Container) -> None:
    """Fill what the container sees as `/run/host` (https://systemd.io/CONTAINER_INTERFACE)."""
    shared.mkdir()
    (shared / "container-manager").write_text("oven\n", encoding="ascii")
    (shared / "container-uuid").write_text(f"{container.uuid}\n", encoding="ascii")
    with contextlib.suppress(FileNotFoundError):
        (shared / "os-release").write_bytes(Path("/etc/os-release").read_bytes())
    credentials = shared / "credentials"
    credentials.mkdir(mode=0o500)
    os.chown(credentials, container.first_id, container.first_id)


def _write_bundle(places: Places, container: Container) -> None:
    process = spec.Process(
        argv=_INITS[container.init][0], env=spec.init_environment(container), terminal=True
    )
    host = spec.Host(
        rootfs=str(room.ROOTFS),
        cgroup=cgroups.path_of(cgroup_of(places, container.name)),
        unified=cgroups.layout() is cgroups.Layout.UNIFIED,
        open_files=room.open_files(),
        machine=room.machine(),
        shared=str(room.SHARED),
    )
    bundle = volatile_of(places, container.name) / "bundle"
    bundle.mkdir()
    content = spec.configuration(container, process, host)
    (bundle / "config.json").write_bytes(msgspec.json.encode(content))


def _create(places: Places, container: Container) -> int:
    """Have conmon make the container, not yet started; give the pid of its first process."""
    conmon = find_program("conmon")
    if conmon is None:
        raise missing_program("conmon")
    name, volatile = container.name, volatile_of(places, container.name)
    program, *arguments = engine.command(places, name, _log(places, name))
    (volatile / "exit").mkdir()
    answer, tell = os.pipe()
    argv = [
        str(conmon), "--api-version", "1", "--cid", name, "--cuuid", container.uuid,
        "--name", name, "--runtime", program, "--bundle", str(volatile / "bundle"),
        "--container-pidfile", str(volatile / "container.pid"),
        "--conmon-pidfile", str(volatile / "conmon.pid"), "--exit-dir", str(volatile / "exit"),
        "--log-path", f"k8s-file:{folder_of(places, name) / 'console.log'}",
        "--log-size-max", str(_CONSOLE_LIMIT), "--full-attach", "--terminal",
        *(f"--runtime-arg={word}" for word in arguments),
    ]  # fmt: skip
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    environment = {"_OCI_SYNCPIPE": str(tell), "TMPDIR": str(volatile)}
    servers = resolvers_for(container)
    here = room.Room(places, container, shared=volatile / "host", resolvers=servers)
    try:
        monitor = launch.launch(
            launch.Program(argv, environment, (null, null, null), (tell,)),
            lambda: room.enter(here),
            lambda child: cgroups.join(cgroup_of(places, name), child),
        )
    finally:
        os.close(tell)
        os.close(null)
    return _first_pid(places, name, monitor, answer)


def _first_pid(places: Places, name: str, monitor: int, answer: int) -> int:
    """Read what conmon says of the container that it had made."""
    with open(answer, "rb") as file:  # opened by descriptor
        line = file.readline()
    # This one only begins the real monitor, which is told of in `conmon.pid`.
    launch.wait(monitor)
    said = msgspec.json.decode(line or b"{}", type=_Said)
    if said.data <= 0:
        raise HostError(
            f"cannot create container `{name}`: "
            + (engine.complaint(_log(places, name)) or said.message or "conmon gave no reason")
        )
    return said.data


def _run_engine(places: Places, name: str, *words: str) -> None:
    done = on_host(Command((*engine.command(places, name, _log(places, name)), *words)))
    if done.code != 0:
        reason = engine.complaint(_log(places, name)) or done.output.strip()
        raise HostError(f"cannot {words[0]} container `{name}`: {reason}")


def _console(places: Places, name: str) -> str:
    from builder.runtime import logs

    return logs.tail(places, name)


def _log(places: Places, name: str) -> Path:
    return volatile_of(places, name) / "oci.log"


def resolvers_for(container: Container) -> tuple[str, ...]:
    """List the name servers that a container is told of."""
    if not container.interfaces:
        return ()
    from builder.runtime import network

    return network.resolvers()


def check_limits(limits: Limits) -> None:
    """Refuse a limit that this host cannot enforce, instead of forgetting it."""
    present = cgroups.controllers()
    wanted = {"memory": limits.memory, "pids": limits.pids, "cpu": limits.cpus}
    for controller, value in wanted.items():
        if value is not None and controller not in present:
            raise HostError(
                f"this host cannot limit {controller}: it has no such cgroup controller",
                hint="leave the limit out, or enable the controller on the kernel's command line",
            )
