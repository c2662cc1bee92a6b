"""Examining the machine: every check, in the order in which a person would mend things."""

from collections.abc import Iterator

from builder.host.checks import machine
from builder.host.checks.machine import Check
from builder.host.places import Places
from builder.model.errors import HostError
from builder.runtime.record.container import readable

FOR_RPM = ("dnf", "rpm", "gpg")
BUILDING = ("bwrap", "apt-get", "dpkg-deb", "gpgv", "tar", "debootstrap")
RUNNING = ("conmon", "ip", "nft", "nsenter")
RUNNING_AS_USER = ("conmon",)
"""Who is not root has pasta in place of bridges and rules."""


def examine(places: Places) -> Iterator[Check]:
    """Check all that Oven needs, giving each result as soon as it is known."""
    yield machine.kernel()
    yield from _building(places)
    yield from _running(places)
    yield machine.room("room for templates", places.data)
    yield machine.room("room for the cache", places.cache)


def _building(places: Places) -> Iterator[Check]:
    from builder.distros.debian.family import DEBIAN

    for name in BUILDING:
        yield machine.program(name)
    yield from _of_the_rpm_family()
    if not machine.is_root():
        yield machine.program("newuidmap")
    yield machine.file("Debian's keys", DEBIAN.keyring, "apt-get install debian-archive-keyring")
    yield _mirrors(places)
    yield machine.user_namespaces()
    yield machine.sandbox(places.cache)


def _of_the_rpm_family() -> Iterator[Check]:
    """Look for what only recipes of Fedora and its relatives need; others do without."""
    for name in FOR_RPM:
        check = machine.program(name)
        if check.state == "ok":
            yield check
        else:
            found = f"{check.found}; Fedora and its relatives need it"
            yield Check(name=name, state="warn", found=found, fix=check.fix)


def _running(places: Places) -> Iterator[Check]:
    from builder.host.checks import containers, weakened

    programs = RUNNING if machine.is_root() else RUNNING_AS_USER
    checks = {name: machine.program(name) for name in programs}
    yield from checks.values()
    yield _oci_runtime(places)
    yield containers.safe_paths()
    yield containers.inotify()
    yield _lxcfs()
    yield _restic()
    if machine.is_root():
        yield weakened.settings()
        yield machine.control_groups()
        yield containers.pressure()
        yield machine.open_files()
        yield machine.container_disk(places.data)
        yield _ids(places)
        yield containers.limited_disks()
        yield from _networks(firewall_there=checks["nft"].state == "ok")
    else:
        yield containers.disk_of_user(places.data)
        yield containers.cgroup_of_user()
        yield containers.network_of_user()


def _oci_runtime(places: Places) -> Check:
    from builder.host.checks import containers
    from builder.runtime.bundle import oci_runtime

    try:
        path = oci_runtime.find(places)
    except HostError as error:
        return Check(name="OCI runtime", state="fail", found=error.problem, fix=error.hint or "")
    return containers.runtime(path, too_old=oci_runtime.is_too_old(places, path))


def _lxcfs() -> Check:
    """Look for what tells containers of their own memory and time; all works without."""
    from builder.runtime.bundle import lxcfs

    if lxcfs.is_there():
        return Check(name="lxcfs", state="ok", found=f"mounted on {lxcfs.ROOT}")
    found = "not mounted: `free`, `uptime` and their kin in containers tell of the host"
    return Check(name="lxcfs", state="warn", found=found, fix="apt-get install lxcfs")


def _restic() -> Check:
    """Look for what keeps backups; all else works without."""
    from builder.host.programs import PACKAGE_OF, find_program

    path = find_program("restic")
    if path is not None:
        return Check(name="restic", state="ok", found=str(path))
    found = "not installed: there is no `oven backup`"
    return Check(
        name="restic", state="warn", found=found, fix=f"apt-get install {PACKAGE_OF['restic']}"
    )


def _ids(places: Places) -> Check:
    """Look for containers that run with ids which a user has been given since they started."""
    from builder.runtime.record import ids, state

    name = "ids of containers"
    for container in readable(places):
        user, called = ids.user_of(container), container.name
        if user is not None and state.status(places, called) != "stopped":
            found = f"`{called}` runs with ids that /etc/subuid or /etc/subgid gives to `{user}`"
            fix = f"oven restart {called}"
            return Check(name=name, state="fail", found=found, fix=fix)
    return Check(name=name, state="ok", found="nobody else may use those of what runs")


def _networks(*, firewall_there: bool) -> Iterator[Check]:
    from builder.host.programs import find_program
    from builder.model.network import NetworkState
    from builder.runtime.network import dns, firewall, resolvers

    if firewall_there:
        yield machine.firewall(firewall.ruleset(NetworkState(), firewall.FirewallHost()))
        yield machine.forwarding()
    yield machine.name_server(find_program(dns.PROGRAM))
    yield _name_servers(resolvers())


def _mirrors(places: Places) -> Check:
    from builder.distros.debian.archive.mirrors import find_mirrors
    from builder.recipes.load import load_settings
    from builder.recipes.request import mirror_settings

    def work() -> str:
        settings = mirror_settings(load_settings(places.settings))
        return ", ".join(find_mirrors(settings.mirrors)["debian"])

    return machine.attempt("mirrors", work)


def _name_servers(found: tuple[str, ...]) -> Check:
    if found:
        return Check(name="name servers", state="ok", found=", ".join(found))
    return Check(
        name="name servers",
        state="warn",
        found="the host has none that a container can reach: IPv4, and not on loopback",
        fix="name one in /etc/resolv.conf",
    )
