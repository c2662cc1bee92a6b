"""Inits: what the first process of each kind of system is, how it learns of things, how it ends."""

import msgspec

from builder.host.treeio import TreeIO
from builder.runtime.container import Init


class Manner(msgspec.Struct, frozen=True):
    """How one kind of init is dealt with."""

    stop: int
    """The signal that makes it shut down; 0 where `halt` does."""
    halt: tuple[str, ...] = ()
    """A command inside that makes it shut down, where no signal does so reliably."""
    manager: str = "oven"
    """What it is told in `$container` that it runs in."""


_MANNERS: dict[Init, Manner] = {
    # It halts at SIGRTMIN+3 (https://systemd.io/CONTAINER_INTERFACE).
    "systemd": Manner(stop=37),
    # busybox's init powers off at SIGUSR2. OpenRC leaves the host's hardware alone only in
    # containers whose managers it knows (https://github.com/OpenRC/openrc/issues/695).
    "openrc": Manner(stop=12, manager="lxc"),
    # SIGPWR means a shutdown only where /etc/inittab says so; the runlevel is always there.
    "sysvinit": Manner(stop=0, halt=("/sbin/init", "0"), manager="lxc"),
    "other": Manner(stop=15),
}

_PROGRAM = "sbin/init"


def manner(init: Init) -> Manner:
    """Tell how an init is dealt with."""
    return _MANNERS[init]


def argv(init: Init) -> tuple[str, ...]:
    """Give the command line of the first process."""
    del init  # all inits go by the same name
    return (f"/{_PROGRAM}",)


def find(tree: TreeIO) -> Init:
    """Find out which kind of init a tree has, by what is behind `/sbin/init`."""
    target = _behind(tree, _PROGRAM)
    if target.endswith("/systemd"):
        return "systemd"
    if target.endswith(("/openrc-init", "/busybox")) and tree.exists("sbin/openrc"):
        return "openrc"
    if tree.is_file("etc/inittab") and tree.exists("sbin/telinit"):
        return "sysvinit"
    return "other"


def _behind(tree: TreeIO, path: str) -> str:
    """Follow links to their end, inside the tree; an odd one leads nowhere."""
    for _ in range(8):
        try:
            target = tree.readlink(path)
        except OSError:
            return path
        path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    return ""
