"""Starting containers with the host: which ones, in which order, and the unit that does it."""

import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from builder.host import files
from builder.host.places import Places
from builder.host.process import Command, on_host
from builder.model.errors import HostError, NotFoundError
from builder.runtime import state, storage
from builder.runtime.container import Autostart, Container, load

UNITS = Path("/etc/systemd/system")
_BOOTED = Path("/run/systemd/system")
"""There when systemd runs this host (sd_booted(3))."""

_UNIT = """\
# Written by oven, which removes it with the last container that starts with the host.
[Unit]
Description=Containers that start with the host ({home})
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target nftables.service
RequiresMountsFor={home}

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=OVEN_HOME={override}
ExecStart={program} start --autostart
ExecStop={program} stop --all
TimeoutStartSec=infinity
TimeoutStopSec=10min
Delegate=yes
KillMode=process

[Install]
WantedBy=multi-user.target
"""
# KillMode: what is left in the unit's own cgroup are commands of ours at most; containers have
# cgroups of their own and are stopped by ExecStop.


def groups(places: Places) -> Iterator[list[Container]]:
    """Give the containers that start with the host, those of one order together, in order."""
    found = [one for one in _every(places) if one.autostart is not None]
    found.sort(key=lambda one: (_order(one), one.name))
    for _, group in groupby(found, key=_order):
        yield list(group)


def stop_groups(places: Places) -> list[list[str]]:
    """Give the containers that run, those first that were started last."""
    running = [one for one in _every(places) if state.status(places, one.name) != "stopped"]
    running.sort(key=lambda one: (-_order(one), one.name))
    return [[one.name for one in group] for _, group in groupby(running, key=_order)]


def settle(places: Places, units: Path = UNITS, booted: Path = _BOOTED) -> str | None:
    """Have the unit there if a container starts with the host, and only then.

    Gives a sentence for the user where there is something to know.
    """
    path = units / unit_name(places)
    wanted = any(True for _ in groups(places))
    if places.ordinary:
        line = f"@reboot {program()} start --autostart"
        return (
            f"no unit is made for an ordinary user; put into your crontab: {line}"
            if wanted
            else None
        )
    if wanted == path.exists() and (not wanted or path.read_text("utf-8") == unit(places)):
        return None
    if not wanted:
        _systemctl("disable", path.name)
        path.unlink()
        _systemctl("daemon-reload")
        return None
    if not booted.is_dir():
        return (
            "this host is not run by systemd: have its own start-up scripts call "
            f"`{program()} start --autostart`, and `{program()} stop --all` at the end"
        )
    files.replace(path, unit(places).encode())
    path.chmod(0o644)
    _systemctl("daemon-reload")
    _systemctl("enable", path.name)
    return f"wrote and enabled `{path}`"


def unit_name(places: Places) -> str:
    """Name the unit; each home of Oven has its own."""
    from builder.runtime.container import cgroup_of

    plain = places.data == Path("/var/lib/oven")
    return "oven.service" if plain else f"oven{cgroup_of(places, '')}.service".replace(".", "-", 1)


def unit(places: Places) -> str:
    """Write the unit (systemd.service(5))."""
    override = os.environ.get("OVEN_HOME", "")
    escaped = str(places.data).replace("%", "%%")
    text = _UNIT.format(home=escaped, override=override.replace("%", "%%"), program=program())
    return text if override else text.replace("Environment=OVEN_HOME=\n", "")


def program() -> str:
    """Give the command line that is `oven` here."""
    beside = Path(sys.executable).with_name("oven")
    return str(beside) if beside.exists() else f"{sys.executable} -m builder"


def _order(container: Container) -> int:
    return (container.autostart or Autostart()).order


def _every(places: Places) -> Iterator[Container]:
    for name in storage.names(places):
        try:
            yield load(places, name)
        except NotFoundError:
            continue


def _systemctl(*words: str) -> None:
    done = on_host(Command(("systemctl", *words)))
    if done.code != 0:
        raise HostError(f"cannot {words[0]} the unit of containers: {done.output.strip()}")
