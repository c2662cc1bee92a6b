"""Options for folders of the host that are seen inside."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.runtime.record.container import Container


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "--bind",
            multiple=True,
            metavar="/FOLDER:/INSIDE[:ro]",
            help="Show a folder or file of the host, with the same owners; `none`: no more.",
        ),
        click.option(
            "--volume",
            multiple=True,
            metavar="NAME:/INSIDE[:ro]",
            help="Show a volume, which is made if there is none; `none`: no more but its own.",
        ),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay binds and volumes over a record."""
    binds, named = given.get("bind") or (), given.get("volume") or ()
    if not binds and not named:
        return container
    import msgspec

    from builder.runtime.storage.own_volumes import is_own
    from builder.runtime.storage.volumes import parse

    assert isinstance(binds, tuple)  # as click gives them
    assert isinstance(named, tuple)
    there = [
        one
        for one in container.binds
        if is_own(one) or "none" not in (binds if one.source.startswith("/") else named)
    ]
    asked = [parse(text, volume=False) for text in binds if text != "none"]
    asked += [parse(text, volume=True) for text in named if text != "none"]
    targets = {one.target for one in asked}
    kept = (one for one in there if one.target not in targets)
    return msgspec.structs.replace(container, binds=(*kept, *asked))
