"""Privilege: become root of a mount namespace, whoever runs this.

After `enter_namespace` the process is uid 0 with ids 0 to 65535 at least, may mount, and all its
mounts vanish with it. Nothing outside this floor asks who the user is.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from builder.host.kernel.libc import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_PRIVATE,
    MS_REC,
    checked,
    last_error,
    libc,
)
from builder.host.programs import missing_program
from builder.model.errors import HostError

IDS = 65536
"""How many ids a tree may use: Debian Policy 9.2.2 ends at 65535."""

_USERNS_HINT = (
    "allow them, as root: `sysctl -w user.max_user_namespaces=65536`; where they exist also "
    "`kernel.unprivileged_userns_clone=1` and `kernel.apparmor_restrict_unprivileged_userns=0`"
)


class Privilege(msgspec.Struct, frozen=True):
    """What this process may do."""

    unprivileged: bool
    """Whether ids are mapped: no device nodes, and overlayfs needs `userxattr`."""


def current() -> Privilege:
    """Look at this process; root inside somebody else's container counts as unprivileged."""
    first = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:3]
    return Privilege(unprivileged=first != ["0", "0", "4294967295"])


def enter_namespace() -> Privilege:
    """Get a mount namespace of our own, and as an ordinary user a user namespace around it.

    Call it once, before any thread is started: unshare(2) refuses CLONE_NEWUSER to a process of
    several threads. Raises HostError with what the operator has to do.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        msg = "enter_namespace() must be called before any thread is started"
        raise RuntimeError(msg)
    if os.geteuid() == 0:
        _unshare(CLONE_NEWNS, hint="run as real root, or as an ordinary user on a host without it")
    else:
        _enter_user_namespace()
    # Otherwise our mounts would show up in the host's namespace (mount_namespaces(7)).
    mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    os.umask(0o022)  # no tree may depend on the umask of whoever builds it
    return current()


def enter_containers(monitors: Iterable[int]) -> None:
    """Become root of the user namespace that an ordinary user's containers are in.

    The first of the monitors that lives shows which one; without any it is a new one. Only so can
    one command reach what another has started (user_namespaces(7): who owns a namespace, and is in
    its parent, has all capabilities in it).
    """
    if not any(_join(pid) for pid in monitors):
        _enter_user_namespace()
    os.umask(0o022)


def _join(pid: int) -> bool:
    try:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    status = libc.setns(fd, CLONE_NEWUSER)
    os.close(fd)
    if status != 0:
        return False
    _become_root()
    _unshare(CLONE_NEWNS, hint=_USERNS_HINT)
    return True


def mount(source: str | Path, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """Call mount(2); raises OSError."""
    encoded = [os.fsencode(part) for part in (source, target, kind, data)]
    status = libc.mount(
        encoded[0], encoded[1], encoded[2] or None, ctypes.c_ulong(flags), encoded[3] or None
    )
    checked(status, str(target))


def _unshare(flags: int, *, hint: str) -> None:
    if libc.unshare(flags) != 0:
        reason = last_error("unshare").strerror
        raise HostError(f"cannot make a namespace: {reason}", hint=hint)


def _enter_user_namespace() -> None:
    user = _user_name()
    uid, gid = os.geteuid(), os.getegid()
    maps = (
        ("newuidmap", uid, _sub_ids(Path("/etc/subuid"), user, uid)),
        ("newgidmap", gid, _sub_ids(Path("/etc/subgid"), user, uid)),
    )
    with _outside_helper(maps):
        _unshare(CLONE_NEWUSER | CLONE_NEWNS, hint=_USERNS_HINT)
    _become_root()


def _become_root() -> None:
    # The groups of the user have no name in here; they must not leak into what is made.
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _user_name() -> str:
    import pwd  # root does without

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _sub_ids(path: Path, user: str, uid: int) -> int:
    """Give the first id of a range large enough for a tree (subuid(5))."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        owner, _, rest = line.partition(":")
        start, _, count = rest.partition(":")
        large = count.isdigit() and start.isdigit() and int(count) >= IDS - 1
        if owner in {user, str(uid)} and large:
            return int(start)
    kind, first = ("uids" if path.name == "subuid" else "gids"), _free_range(lines)
    raise HostError(
        f"`{path}` gives the user `{user}` no range of {IDS} subordinate ids",
        hint=f"as root: usermod --add-sub{kind} {first}-{first + IDS - 1} {user}",
    )


def _free_range(lines: list[str]) -> int:
    """Give the first id of a range that nobody has: whoever shares one can enter the other's."""
    first = 100000  # SUB_UID_MIN of login.defs(5)
    for line in lines:
        start, _, count = line.partition(":")[2].partition(":")
        if start.isdigit() and count.isdigit():
            first = max(first, int(start) + int(count))
    return first


@contextlib.contextmanager
def _outside_helper(maps: tuple[tuple[str, int, int], ...]) -> Iterator[None]:
    """Have a child that stays outside write our id maps once the body has unshared.

    Only a process in the parent namespace may map ids that are not the writer's own
    (user_namespaces(7)), so it is forked before.
    """
    ours = os.getpid()
    wait, go = os.pipe()
    answer, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.close(answer)
        _help_from_outside(wait, tell, ours, maps)
    os.close(wait)
    os.close(tell)
    try:
        yield
        os.write(go, b"g")
    finally:
        os.close(go)
        with open(answer, "rb") as file:  # noqa: PTH123  # a descriptor
            said = file.read().decode(errors="replace")
        os.waitpid(child, 0)
    if said == "missing":
        raise missing_program("newuidmap")
    if said != "done":
        raise HostError(
            f"cannot map subordinate ids: {said.strip() or 'the helper died'}",
            hint="see /etc/subuid and /etc/subgid; newuidmap must be setuid root"
            " (`apt-get install --reinstall uidmap`)",
        )


def _help_from_outside(
    wait: int, tell: int, pid: int, maps: tuple[tuple[str, int, int], ...]
) -> None:
    """Run newuidmap and newgidmap when told to, report, and end; never returns."""
    import subprocess  # needed only here

    said = "the helper died"
    try:
        if os.read(wait, 1):
            for program, own, start in maps:
                argv = [program, *map(str, (pid, 0, own, 1, 1, start, IDS - 1))]
                done = subprocess.run(argv, capture_output=True, text=True)
                if done.returncode != 0:
                    said = done.stderr
                    break
            else:
                said = "done"
    except FileNotFoundError:
        said = "missing"
    finally:
        os.write(tell, said.encode())
        os._exit(0)


def require_root(command: str) -> None:
    """Raise HostError unless root runs this."""
    if os.geteuid() != 0:
        raise HostError(f"`{command}` needs root", hint=f"sudo {command} ...")
