"""Sessions: how an ordinary user's command gets to where the user may have cgroups."""

import os
import sys
from pathlib import Path

from builder.host.kernel import hierarchies
from builder.host.programs import find_program

# The cgroup of a login session is root's. Below it the user's own systemd arranges another one, and
# only systemd may move a process from one to the other: `systemd-run --user --scope` asks for that,
# then becomes what it was told to run. Nothing but the cgroup differs then.

_MARK = "OVEN_IN_SCOPE"
"""Set in the environment of a command that has begun anew, so that it does so once."""


def enter() -> None:
    """Begin this command anew below the user's systemd, where it is not there and can be.

    Call it before anything is read or said. It comes back where nothing can be gained.
    """
    if os.environ.pop(_MARK, None) or hierarchies.delegated() is not None:
        return
    program = find_program("systemd-run")
    # What `su` has left in the environment may be somebody else's.
    runtime = Path(f"/run/user/{os.geteuid()}")
    sockets = (runtime / "bus", runtime / "systemd/private")
    if program is None or not all(os.access(socket, os.W_OK) for socket in sockets):
        return
    options = ("--user", "--scope", "--quiet", "--collect", "--")
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(runtime),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime / 'bus'}",
        _MARK: "1",
    }
    sys.stdout.flush()
    os.execve(program, [str(program), *options, sys.executable, *sys.orig_argv[1:]], environment)
