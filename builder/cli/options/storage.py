"""Options for folders of the host that are seen inside."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.cli.options import Decorator
    from builder.runtime.container import Container


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option(
            "--bind",
            multiple=True,
            metavar="/FOLDER:/INSIDE[:ro]",
            help="Show a folder or file of the host inside, with the same owners.",
        ),
        click.option(
            "--volume",
            multiple=True,
            metavar="NAME:/INSIDE[:ro]",
            help="Show a volume inside; it is made if there is none, and outlives the container.",
        ),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay binds and volumes over a record."""
    binds, named = given.get("bind") or (), given.get("volume") or ()
    if not binds and not named:
        return container
    import msgspec

    from builder.runtime.volumes import parse

    assert isinstance(binds, tuple)  # as click gives them
    assert isinstance(named, tuple)
    found = (
        *(parse(text, volume=False) for text in binds),
        *(parse(text, volume=True) for text in named),
    )
    return msgspec.structs.replace(container, binds=found)
