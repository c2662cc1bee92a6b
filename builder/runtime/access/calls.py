"""Calls of the OCI runtime that start a command in a container: prepared, guarded, cleaned up."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host.kernel import cgroups, mounts
from builder.host.places import Places
from builder.host.process import guard, launch
from builder.model.errors import HostError, OvenError
from builder.runtime.bundle import lookup, oci_runtime, raw_words, runnable
from builder.runtime.bundle.process import (
    PATH,
    CommandOrder,
    Process,
    enter_again,
    plain_umask,
    process_part,
    rlimits,
)
from builder.runtime.record import state
from builder.runtime.record.container import check_name
from builder.runtime.record.layout import volatile_of
from builder.runtime.record.seen import is_frozen
from builder.runtime.record.state import State
from builder.runtime.recovery import orphans, repair


class Target(msgspec.Struct, frozen=True):
    """A container that runs."""

    places: Places
    name: str
    current: State
    first_id: int
    ids: int
    """How many ids it has, from that one on."""


class Call:
    """A call of the runtime that is prepared, and the guard that stands by it."""

    def __init__(
        self,
        target: Target,
        process: Process,
        program: launch.Program,
        guardian: guard.Guard,
        begun: Path,
    ) -> None:
        self._target = target
        self._program = program
        self._guard = guardian
        self._begun = begun
        self._runtime = 0
        self.owner = (target.first_id + process.uid, target.first_id + process.gid)
        """The command's user and group, as the host numbers them."""

    def launch(self, streams: tuple[int, int, int]) -> int:
        """Begin; give the pid of the runtime."""
        program = msgspec.structs.replace(self._program, streams=streams)
        self._runtime = launch.launch(program, self._way_in, self._guard.over)
        return self._runtime

    def command(self) -> int:
        """Give the command that the runtime has left to us."""
        pid = int(self._begun.read_text(encoding="ascii"))
        self._guard.over(pid)
        return pid

    def give_up(self) -> None:
        """End a runtime that may never start the command."""
        guard.end_command(self._runtime)

    def _way_in(self) -> None:
        target = self._target
        try:
            enter_again(target.places, target.name, target.current)
        except (FileNotFoundError, ProcessLookupError):
            raise lookup.has_ended(target.name) from None


def running(places: Places, name: str) -> Target:
    """Find a container that can run a command now; ConflictError when it is stopped or frozen."""
    repair.resume(places, check_name(name))
    seen = orphans.look(places, name)
    record = seen.record
    return Target(places, name, seen.need_going(), record.first_id, record.ids)


def _resolve(target: Target, call: CommandOrder) -> Process:
    with lookup.root_of(target.name, target.current.pid) as tree:
        user = lookup.find_user(tree, call.user, target.ids)
        words = dict(word.partition("=")[::2] for word in call.env)
        cwd = lookup.check_folder(call.cwd)
        runnable.check_place(tree, cwd)
        runnable.check_program(tree, call.argv[0], words.get("PATH", PATH), cwd)
        env = [f"HOME={user.home}", *call.env]
        if call.tty:
            env.insert(0, f"TERM={os.environ.get('TERM', 'linux')}")
        process = Process(
            argv=call.argv, env=tuple(env), terminal=call.tty, uid=user.uid, gid=user.gid,
            groups=user.groups, cwd=cwd,
        )  # fmt: skip
        return raw_words.carried(process, tree)


@contextlib.contextmanager
def made(
    target: Target, call: CommandOrder, before: guard.Settings | None = None
) -> Iterator[Call]:
    """Make a call of the runtime, and its guard; their files last as long as it may use them."""
    places, name, current = target.places, target.name, target.current
    process = _resolve(target, call)
    unique = f"exec-{os.getpid()}-{os.urandom(4).hex()}"
    file = volatile_of(places, name) / f"{unique}.json"
    log, begun = file.with_suffix(".log"), file.with_suffix(".pid")
    # A runtime that stays has pipes of its own, and waits until nobody holds them any more.
    leaving = ("--pid-file", str(begun), *(() if call.tty else ("--detach",)))
    plain_umask()
    try:
        file.write_bytes(msgspec.json.encode(process_part(process, rlimits())))
        runtime = oci_runtime.of_container(places, name, current)
        place = ("--process", str(file), *leaving, *cgroups.place_of_others())
        argv = (*oci_runtime.command(runtime, places, name, log), "exec", *place, name)
        # Killed with us after the command began and before its pid was written, a runtime would
        # leave it to nobody. One that stays has our terminal, whose end the command hears.
        program = launch.Program(argv, guarded=True, own_group=not call.tty)
        with guard.Guard((file, log, begun), before, begun) as guardian, mounts.adopting():
            yield Call(target, process, program, guardian, begun)
        complaint = oci_runtime.complaint(log)
        if complaint is not None:
            raise _refused(name, current, complaint)
    finally:
        for each in (file, log, begun):
            each.unlink(missing_ok=True)


def _refused(name: str, current: State, complaint: str) -> OvenError:
    if not state.alive(current):
        return lookup.has_ended(name)
    if "paused" in complaint:
        return is_frozen(name)
    if (told := runnable.told_by(complaint)) is not None:
        return told
    return HostError(f"cannot run a command in container `{name}`: {complaint}")
