"""Inits: what the first process of each kind of system is, how it learns of things, how it ends."""

import msgspec

from builder.host.trees.treeio import TreeIO
from builder.runtime.record.container import Init


class InitManner(msgspec.Struct, frozen=True):
    """How one kind of init is dealt with."""

    stop: int = 0
    """The signal that makes it shut down; 0 where `halt` does."""
    halt: tuple[str, ...] = ()
    """A command inside that makes it shut down, where no signal does so reliably."""
    manager: str = "oven"
    """What it is told in `$container` that it runs in."""


# OpenRC leaves the host's hardware alone only in containers whose managers it knows
# (https://github.com/OpenRC/openrc/issues/695), and runs below other inits too.
_MANNERS: dict[Init, InitManner] = {
    # It halts at SIGRTMIN+3 (https://systemd.io/CONTAINER_INTERFACE).
    "systemd": InitManner(stop=37),
    # It takes orders through a FIFO, and no signal (openrc-init(8)).
    "openrc": InitManner(halt=("openrc-shutdown", "--poweroff", "now"), manager="lxc"),
    # SIGPWR means a shutdown only where /etc/inittab says so; the runlevel is always there.
    "sysvinit": InitManner(halt=("/sbin/init", "0"), manager="lxc"),
    # Both power off at SIGUSR2, and at SIGTERM reboot (init.c of busybox; finit(8)).
    "busybox": InitManner(stop=12, manager="lxc"),
    "finit": InitManner(stop=12),
    # What SIGCONT means depends on files that this command makes (runit-init(8)).
    "runit": InitManner(halt=("/sbin/init", "0")),
    # dinit, s6-svscan as the first process, and most others that catch any signal.
    "other": InitManner(stop=15),
}

_PROGRAM = "sbin/init"
_BY_NAME: dict[str, Init] = {
    "systemd": "systemd",
    "openrc-init": "openrc",
    "busybox": "busybox",
    "finit": "finit",
    "runit-init": "runit",
    "runit": "runit",
}


def manner(init: Init) -> InitManner:
    """Tell how an init is dealt with."""
    return _MANNERS[init]


def argv(init: Init) -> tuple[str, ...]:
    """Give the command line of the first process."""
    del init  # all inits go by the same name
    return (f"/{_PROGRAM}",)


def find(tree: TreeIO) -> Init:
    """Find out which kind of init a tree has, by what is behind `/sbin/init`."""
    program = _behind(tree, _PROGRAM)
    kind = _BY_NAME.get(program.rpartition("/")[2])
    if kind is not None:
        return kind
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
