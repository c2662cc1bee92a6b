"""Options for what a container is called, and when it starts and ends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.runtime.container import Container

OPTIONS = (
    click.option("--hostname", help="The host name inside; the container's name by default."),
)


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay names over a record."""
    import msgspec

    return msgspec.structs.replace(container, hostname=str(given["hostname"] or container.hostname))
