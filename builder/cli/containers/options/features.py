"""Options for what of the kernel and of the host's devices a container gets beyond the usual."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.runtime.record.container import Container


ASKED = "asked"
"""Stands for what the template asks for, which is known where a container is made."""


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "--feature",
            multiple=True,
            type=click.Choice(["tun", "fuse", "kmsg", "nesting", "asked", "none"]),
            help="Give it a device, what containers in it need, or what its template asks for.",
        ),
        click.option(
            "--device",
            multiple=True,
            metavar="/dev/NAME",
            help="Give it a device of the host; `none`: no more.",
        ),
        click.option(
            "--ids",
            metavar="N",
            help="How many user and group ids it has, 65536 by default.",
        ),
        click.option(
            "--lxcfs/--no-lxcfs",
            default=None,
            help="Show its own memory, processors and uptime in /proc, where lxcfs runs.",
        ),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay features and devices over a record."""
    features, named = given.get("feature") or (), given.get("device") or ()
    lxcfs, ids = given.get("lxcfs"), given.get("ids")
    if not features and not named and lxcfs is None and ids is None:
        return container
    import msgspec

    from builder.runtime.bundle import devices

    assert isinstance(features, tuple)  # as click gives them
    assert isinstance(named, tuple)
    return msgspec.structs.replace(
        container,
        features=_added(container.features, tuple(word for word in features if word != ASKED)),
        devices=tuple(
            path if path in container.devices else devices.check(path)
            for path in _added(container.devices, named)
        ),
        lxcfs=container.lxcfs if lxcfs is None else lxcfs,
        ids=container.ids if ids is None else _whole_ranges(str(ids)),
    )


def _whole_ranges(word: str) -> int:
    """Read a number of ids, which come in ranges of 65536."""
    from builder.model import amounts
    from builder.runtime.record.container import IDS, MOST_IDS

    wanted = int(amounts.count(1, MOST_IDS).read(word, "--ids"))
    return -(-wanted // IDS) * IDS


def _added(there: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    kept = () if "none" in asked else there
    return tuple(dict.fromkeys((*kept, *(word for word in asked if word != "none"))))
