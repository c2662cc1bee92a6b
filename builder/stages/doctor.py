"""Examining the machine: every check, in the order in which a person would mend things."""

from collections.abc import Iterator

from builder.host import doctor
from builder.host.doctor import Check
from builder.host.places import Places
from builder.model.errors import HostError, NotFoundError

FOR_RPM = ("dnf", "rpm", "gpg")
BUILDING = ("bwrap", "apt-get", "dpkg-deb", "gpgv", "tar", "debootstrap")
RUNNING = ("conmon", "ip", "nft", "nsenter")
RUNNING_AS_USER = ("conmon",)
"""Who is not root has pasta in place of bridges and rules."""


def examine(places: Places) -> Iterator[Check]:
    """Check all that Oven needs, giving each result as soon as it is known."""
    yield doctor.kernel()
    yield from _building(places)
    yield from _running(places)
    yield doctor.room("room for templates", places.data)
    yield doctor.room("room for the cache", places.cache)


def _building(places: Places) -> Iterator[Check]:
    from builder.distros.debian.family import DEBIAN

    for name in BUILDING:
        yield doctor.program(name)
    yield from _of_the_rpm_family()
    if not doctor.is_root():
        yield doctor.program("newuidmap")
    yield doctor.file("Debian's keys", DEBIAN.keyring, "apt-get install debian-archive-keyring")
    yield _mirrors(places)
    yield doctor.user_namespaces()
    yield doctor.sandbox(places.cache)


def _of_the_rpm_family() -> Iterator[Check]:
    """Look for what only recipes of Fedora and its relatives need; others do without."""
    for name in FOR_RPM:
        check = doctor.program(name)
        if check.state == "ok":
            yield check
        else:
            found = f"{check.found}; Fedora and its relatives need it"
            yield Check(name=name, state="warn", found=found, fix=check.fix)


def _running(places: Places) -> Iterator[Check]:
    from builder.host import ability, weakened

    programs = RUNNING if doctor.is_root() else RUNNING_AS_USER
    checks = {name: doctor.program(name) for name in programs}
    yield from checks.values()
    yield _oci_runtime(places)
    yield ability.safe_paths()
    yield ability.inotify()
    if doctor.is_root():
        yield weakened.settings()
        yield doctor.control_groups()
        yield ability.pressure()
        yield doctor.open_files()
        yield doctor.container_disk(places.data)
        yield _ids(places)
        yield ability.limited_disks()
        yield from _networks(firewall_there=checks["nft"].state == "ok")
    else:
        yield ability.disk_of_user(places.data)
        yield ability.cgroup_of_user()
        yield ability.network_of_user()


def _oci_runtime(places: Places) -> Check:
    from builder.host import ability
    from builder.runtime import engine

    try:
        path = engine.find(places)
    except HostError as error:
        return Check(name="OCI runtime", state="fail", found=error.problem, fix=error.hint or "")
    return ability.runtime(path, too_old=engine.is_too_old(places, path))


def _ids(places: Places) -> Check:
    """Look for containers that run with ids which a user has been given since they started."""
    from builder.runtime import ids, state, storage
    from builder.runtime.container import load

    name = "ids of containers"
    for container in storage.names(places):
        try:
            user = ids.user_of(load(places, container).first_id)
        except NotFoundError:
            continue  # destroyed just now, or damaged, which `oven list` tells
        if user is not None and state.status(places, container) != "stopped":
            found = f"`{container}` runs with ids that /etc/subuid or /etc/subgid gives to `{user}`"
            fix = f"oven restart {container}"
            return Check(name=name, state="fail", found=found, fix=fix)
    return Check(name=name, state="ok", found="nobody else may use those of what runs")


def _networks(*, firewall_there: bool) -> Iterator[Check]:
    from builder.host.process import find_program
    from builder.model.network import NetworkState
    from builder.runtime.network import firewall, names, resolvers

    if firewall_there:
        yield doctor.firewall(firewall.ruleset(NetworkState(), firewall.Host()))
        yield doctor.forwarding()
    yield doctor.name_server(find_program(names.PROGRAM))
    yield _name_servers(resolvers())


def _mirrors(places: Places) -> Check:
    from builder.distros.debian.mirrors import find_mirrors
    from builder.stages.load import load_settings
    from builder.stages.order import mirror_settings

    def work() -> str:
        settings = mirror_settings(load_settings(places.settings))
        return ", ".join(find_mirrors(settings.mirrors)["debian"])

    return doctor.attempt("mirrors", work)


def _name_servers(found: tuple[str, ...]) -> Check:
    if found:
        return Check(name="name servers", state="ok", found=", ".join(found))
    return Check(
        name="name servers",
        state="warn",
        found="the host has none that a container can reach: IPv4, and not on loopback",
        fix="name one in /etc/resolv.conf",
    )
