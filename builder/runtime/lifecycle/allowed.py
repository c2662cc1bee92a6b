"""What containers cannot have here, above all an ordinary user's: refused when it is asked for."""

from builder.host.places import Places
from builder.model.errors import HostError
from builder.model.network import DEFAULT
from builder.runtime.record.container import IDS, Container, Interface, Limits


def check(places: Places, container: Container) -> None:
    """Refuse what no container of this user could ever be started with; root's has no such part."""
    if not places.ordinary:
        return
    _check_disk(container.limits)
    if container.ids != IDS:
        raise HostError(
            f"an ordinary user's container has {IDS} ids, those that `/etc/subuid` gives",
            hint="leave `--ids` out, or run it as root",
        )
    if container.interfaces:
        from builder.runtime.network import pasta

        pasta.check_shape(container)


def check_asked(places: Places, container: Container) -> None:
    """Refuse that, and what this host does not have as it is now."""
    check(places, container)
    if not places.ordinary:
        _check_networks(places, container)
    elif container.interfaces:
        from builder.runtime.network import pasta

        pasta.check_host(container)


def _check_networks(places: Places, container: Container) -> None:
    """Refuse networks that there are not, and addresses that are none of theirs."""
    asked = [one for one in container.interfaces if one != Interface(network=DEFAULT)]
    if not asked:
        return
    from builder.runtime.network import definitions

    for one in container.interfaces:
        definitions.check_addresses(places, one.network, one.address, one.address6)


def _check_disk(limits: Limits) -> None:
    if limits.disk is None and limits.inodes is None:
        return
    raise HostError(
        "an ordinary user's container cannot have a limit of its disk: that is an image, which only"
        " root can mount",
        hint="leave `--disk` and `--inodes` out, or run it as root",
    )
