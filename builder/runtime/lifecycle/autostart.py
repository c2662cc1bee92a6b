"""Starting containers with the host: which ones, in which order, and the unit that does it."""

from collections.abc import Iterator
from itertools import groupby

from builder.host import units
from builder.host.places import Places
from builder.host.units import Systemd
from builder.model.unit_file import Section, UnitFile, Words
from builder.runtime.record import state
from builder.runtime.record.container import Autostart, Container, readable

_AFTER = "network-online.target nftables.service"
"""A user's systemd knows nothing of these: `await_network` of `pasta` stands in for them."""

# KillMode: what is left in a unit's own cgroup are commands of ours at most; containers have
# cgroups of their own and are stopped by ExecStop.


def groups(places: Places) -> Iterator[list[Container]]:
    """Give the containers that start with the host, those of one order together, in order."""
    found = [one for one in readable(places) if one.autostart is not None]
    found.sort(key=lambda one: (_order(one), one.name))
    for _, group in groupby(found, key=_order):
        yield list(group)


def stop_groups(places: Places) -> list[list[str]]:
    """Give the containers that run, those first that were started last."""
    running = [one for one in readable(places) if state.status(places, one.name) != "stopped"]
    running.sort(key=lambda one: (-_order(one), one.name))
    return [[one.name for one in group] for _, group in groupby(running, key=_order)]


def settle(places: Places, systemd: Systemd) -> str | None:
    """Have the unit there if a container starts with the host, and only then.

    Gives a sentence for the user where there is something to know.
    """
    name = f"{units.name_of(places, 'oven')}.service"
    if not any(True for _ in groups(places)):
        systemd.disable((name,), name)
        return None
    if not systemd.runs:
        return _by_hand(places)
    return units.ensure(places, systemd, {name: unit(places)}, name)


def hold(places: Places, systemd: Systemd) -> None:
    """Have what runs shut down with the host, or with the systemd of an ordinary user.

    However a container was started, it would be killed then, after a minute and a half. This costs
    next to nothing but for the first time after a boot.
    """
    if not systemd.runs:
        return
    section: Section = (
        ("Description", "Stops containers with the host"),
        ("ExecStop", units.command("stop", "--all")),
        ("TimeoutStopSec", "10min"),
        ("KillMode", "process"),
        *units.environment(places),
    )
    if not places.ordinary:
        # What is stopped comes before what it needs (systemd.unit(5), `After=`).
        section += (("After", _AFTER), _mounts(places))
    systemd.hold(units.name_of(places, "oven-stop"), section)


def unit(places: Places) -> UnitFile:
    """Describe the unit (systemd.service(5))."""
    order: Section = ()
    if not places.ordinary:
        order = (("Wants", "network-online.target"), ("After", _AFTER), _mounts(places))
    return UnitFile(
        note="Written by oven, which removes it with the last container that starts with the host.",
        unit=(
            ("Description", f"Containers that start with the host ({places.data})"),
            ("Documentation", "man:systemd.service(5)"),
            *order,
        ),
        service=(
            ("Type", "oneshot"),
            ("RemainAfterExit", "yes"),
            *units.environment(places),
            ("ExecStart", units.command("start", "--autostart")),
            ("ExecStop", units.command("stop", "--all")),
            ("TimeoutStartSec", "infinity"),
            ("TimeoutStopSec", "10min"),
            ("Delegate", "yes"),
            ("KillMode", "process"),
        ),
        install=(("WantedBy", "default.target" if places.ordinary else "multi-user.target"),),
    )


def _mounts(places: Places) -> tuple[str, Words]:
    return "RequiresMountsFor", Words((str(places.data),))


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
