"""Starting containers with the host: which ones, in which order, and the unit that does it."""

from collections.abc import Iterator
from itertools import groupby

from builder.host import units
from builder.host.places import Places
from builder.host.units import Systemd
from builder.model.errors import NotFoundError
from builder.runtime.record import state
from builder.runtime.record.container import Autostart, Container, all_names, load

_UNIT = """\
# Written by oven, which removes it with the last container that starts with the host.
[Unit]
Description=Containers that start with the host ({home})
Documentation=man:systemd.service(5)
{order}
[Service]
Type=oneshot
RemainAfterExit=yes
{environment}ExecStart={start}
ExecStop={stop}
TimeoutStartSec=infinity
TimeoutStopSec=10min
Delegate=yes
KillMode=process

[Install]
WantedBy={target}
"""
# KillMode: what is left in the unit's own cgroup are commands of ours at most; containers have
# cgroups of their own and are stopped by ExecStop.

_AFTER = "network-online.target nftables.service"
_OF_ROOT = f"Wants=network-online.target\nAfter={_AFTER}\n"
"""A user's systemd knows nothing of these: `await_network` of `userspace` stands in for them."""


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


def settle(places: Places, systemd: Systemd) -> str | None:
    """Have the unit there if a container starts with the host, and only then.

    Gives a sentence for the user where there is something to know.
    """
    name = f"{units.name_of(places, 'oven')}.service"
    texts = {name: unit(places)}
    if not any(True for _ in groups(places)):
        systemd.disable(texts, name)
        return None
    return units.ensure(places, systemd, texts, name) if systemd.runs else _by_hand(places)


def hold(places: Places, systemd: Systemd) -> None:
    """Have what runs shut down with the host, or with the systemd of an ordinary user.

    However a container was started, it would be killed then, after a minute and a half. This costs
    next to nothing but for the first time after a boot.
    """
    if not systemd.runs:
        return
    properties = {
        "Description": "Stops containers with the host",
        "ExecStop": units.command("stop", "--all"),
        "TimeoutStopSec": "10min",
        "KillMode": "process",
    }
    if environment := units.environment(places):
        properties["Environment"] = environment
    if not places.ordinary:
        # What is stopped comes before what it needs (systemd.unit(5), `After=`).
        properties |= {"After": _AFTER, "RequiresMountsFor": units.quoted(str(places.data))}
    systemd.hold(units.name_of(places, "oven-stop"), properties)


def unit(places: Places) -> str:
    """Write the unit (systemd.service(5))."""
    home = units.quoted(str(places.data))
    environment = units.environment(places)
    return _UNIT.format(
        home=str(places.data).replace("%", "%%"),
        order="" if places.ordinary else f"{_OF_ROOT}RequiresMountsFor={home}\n",
        environment=f"Environment={environment}\n" if environment else "",
        start=units.command("start", "--autostart"),
        stop=units.command("stop", "--all"),
        target="default.target" if places.ordinary else "multi-user.target",
    )


def _by_hand(places: Places) -> str:
    if places.ordinary:
        line = units.cron_line(places, "@reboot", "start", "--autostart")
        return f"your own systemd does not run: log in, or put this line into your crontab: {line}"
    program = " ".join(units.program())
    return (
        "this host is not run by systemd: have its own start-up scripts call "
        f"`{program} start --autostart`, and `{program} stop --all` at the end"
    )


def _order(container: Container) -> int:
    return (container.autostart or Autostart()).order


def _every(places: Places) -> Iterator[Container]:
    for name in all_names(places):
        try:
            yield load(places, name)
        except NotFoundError:
            continue
