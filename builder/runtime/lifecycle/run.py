"""Running one command in a new container that is gone when the command has ended."""

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.places import Places
from builder.host.process import launch, terminal
from builder.host.programs import PROMPT
from builder.host.trees.removal import remove_tree
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.runtime.bundle import (
    facts,
    lookup,
    oci_runtime,
    raw_words,
    reaper,
    rootfs,
    runnable,
    spec,
)
from builder.runtime.bundle.process import PATH, CommandOrder, Process, plain_umask
from builder.runtime.lifecycle import allowed, create
from builder.runtime.record import ids, layout
from builder.runtime.record.container import Container
from builder.runtime.record.layout import folder_of, volatile_of
from builder.runtime.recovery import cleaning
from builder.runtime.resources import limits

# One call of the runtime, no monitor: our stdin, stdout and stderr are those of the command. The
# runtime is the first process of a PID namespace, so that a kill -9 of `oven` ends everything; the
# lock of the container's folder then tells the next command that the rest may be removed.


def run_command(places: Places, container: Container, order: CommandOrder) -> int:
    """Run a command in a container made after `container`; give its exit status.

    Name and ids are chosen here. The command is the first process inside, or the second where this
    host has an init that may go around it.
    """
    allowed.check(places, container)
    limits.check(places, container)
    lookup.check_folder(order.cwd)
    plain_umask()
    before = terminal.settings() if order.tty else None
    container, lock = create.make_ephemeral(places, container)
    try:
        with terminal.given_back(before):
            return _run(places, container, order)
    finally:
        try:
            _disconnect(places, container)
        finally:
            cleaning.clean(places, container.name, networked=False)
            remove_tree(folder_of(places, container.name))
            ids.release(places, container)
            os.close(lock)


def _run(places: Places, container: Container, order: CommandOrder) -> int:
    name = container.name
    volatile = volatile_of(places, name)
    bundle, begun, log = volatile / layout.BUNDLE, volatile / "pid", volatile / "oci.log"
    volatile.mkdir(mode=0o700, parents=True)
    bundle.mkdir()
    gate = _Gate(places, container) if container.interfaces else None
    init = reaper.find()
    more = (reaper.shown(init),) if init else ()
    host = facts.gather(places, container, hooks=gate.hooks() if gate else None, more=more)
    servers = rootfs.resolvers_for(places, container)
    here = rootfs.RootfsSpec(places, container, volatile=True, resolvers=servers)

    def prepare() -> None:
        rootfs.enter(here)
        with TreeIO(places.rootfs) as tree:
            process = _process(tree, order, container.ids)
        if init:
            process = msgspec.structs.replace(process, argv=reaper.around(process.argv))
        content = spec.configuration(container, process, host)
        (bundle / "config.json").write_bytes(msgspec.json.encode(content))

    call = oci_runtime.command(oci_runtime.find(places), places, name, log)
    argv = (*call, "run", "--pid-file", str(begun), "--bundle", str(bundle), name)
    program = launch.Program(argv, plain=True)
    try:
        pid = launch.launch_isolated(program, prepare, partial(limits.join, places, container))
        first = (lambda: gate.open(pid)) if gate else _nothing
        code = launch.attend(pid, first, _Signals(pid, begun, reaped=init is not None).hand)
    finally:
        if gate:
            gate.close()
    complaint = oci_runtime.complaint(log)
    if complaint is not None:
        told = runnable.told_by(complaint)
        raise told or HostError(f"cannot run the command: {complaint}")
    return code


def _disconnect(places: Places, container: Container) -> None:
    """Take the container off its networks; whoever comes next waits for the kernel's part."""
    if container.interfaces:
        from builder.runtime import network

        network.let_go(places, container.name)


def _process(tree: TreeIO, order: CommandOrder, ids: int) -> Process:
    user = lookup.find_user(tree, order.user, ids)
    words = dict(word.partition("=")[::2] for word in order.env)
    runnable.check_place(tree, order.cwd)
    runnable.check_program(tree, order.argv[0], words.get("PATH", PATH), order.cwd)
    env = [f"HOME={user.home}", *order.env]
    if order.tty:
        env.insert(0, f"TERM={os.environ.get('TERM', 'linux')}")
    process = Process(
        argv=order.argv, env=tuple(env), terminal=order.tty, uid=user.uid, gid=user.gid,
        groups=user.groups, cwd=order.cwd,
    )  # fmt: skip
    return raw_words.carried(process, tree)


class _Signals:
    """Hands signals to the command, which dies of them as any process would.

    `begun` is a file that the runtime writes once it has started the command; `reaped` says that
    there is an init around that. Without, the command is the first of its namespace, and immune to
    what it does not handle (pid_namespaces(7)). What a terminal sends is for all processes of the
    command; it has reached the runtime too, which told the first.
    """

    def __init__(self, runtime: int, begun: Path, *, reaped: bool) -> None:
        self._runtime = runtime
        self._begun = begun
        self._reaped = reaped

    def hand(self, number: int, sender: launch.Sender) -> None:
        """Hand one on."""
        first, *others = _inside(self._runtime) or (None,)
        if first is None and self._begun.exists():
            return  # it has ended, perhaps by the same signal, and the runtime is about to say how
        if first is None:
            # It has not begun, and may never: a runtime that hangs is not waited for any longer.
            # What a terminal sends has reached the runtime.
            usual = {signal.SIGUSR1, signal.SIGUSR2}
            if sender is launch.Sender.PROGRAM and number not in usual:
                os.kill(self._runtime, signal.SIGKILL)
            return
        if self._reaped and others:
            first, *others = others
        elif not self._reaped and not pids.catches(first, number):
            os.kill(first, signal.SIGKILL)
            return
        targets = others if number in {signal.SIGINT, signal.SIGQUIT} else []
        if sender is launch.Sender.PROGRAM:
            targets = [first, *targets]
        for pid in targets:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _inside(runtime: int) -> list[int]:
    """List the command's processes, the first one first: two PID namespaces below ours.

    The one between holds the runtime.
    """
    ours = pids.depth_and_inner_pid(os.getpid())[0]
    inner = {pid: pids.depth_and_inner_pid(pid) for pid in pids.below(runtime)}
    found = [pid for pid, (depth, _) in inner.items() if depth == ours + 2]
    return sorted(found, key=lambda pid: inner[pid][1])


def _nothing() -> None:
    """Connect nothing; the container has only the loopback interface."""


class _Gate:
    """Holds the runtime between making the network namespace and starting the command.

    The runtime calls a hook that says so through one fifo and waits at another.
    """

    def __init__(self, places: Places, container: Container) -> None:
        self._places = places
        self._container = container
        volatile = volatile_of(places, container.name)
        self._asked = volatile / "asked"
        self._go = volatile / "go"
        for fifo in (self._asked, self._go):
            os.mkfifo(fifo, 0o600)
        # Opened for both, so that no open waits for the other side (fifo(7)).
        self._fds = [os.open(f, os.O_RDWR | os.O_CLOEXEC) for f in (self._asked, self._go)]

    def hooks(self) -> dict[str, object]:
        script = 'echo > "$1"; read -r _ < "$2"'
        argv = ["sh", "-c", script, "sh", str(self._asked), str(self._go)]
        return {"createRuntime": [{"path": "/bin/sh", "args": argv}]}

    def open(self, runtime: int) -> None:
        """Wait for the network namespace, connect it, and let the command start."""
        asked, go = self._fds
        came = pids.wait_readable(asked, runtime, PROMPT)
        if came is None:
            os.kill(runtime, signal.SIGKILL)
            program = oci_runtime.find(self._places).name
            raise HostError(
                f"`{program}` has not made the container in {PROMPT:g} seconds, and is given up"
            )
        if not came:
            return  # the runtime has failed, and says why in its log
        from builder.runtime import network

        inside_now = _inside(runtime)
        if not inside_now:
            raise HostError("the container ended before it was connected to its network")
        network.attach(self._places, self._container, inside_now[0])
        os.write(go, b"\n")

    def close(self) -> None:
        """Let go of the fifos."""
        for fd in self._fds:
            os.close(fd)
