"""Options for what a container may use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.cli.options import Decorator
    from builder.runtime.container import Container


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return (
        click.option("--memory", metavar="SIZE", help="Limit memory, such as 512M."),
        click.option("--pids", type=click.IntRange(1), help="Limit processes and threads."),
        click.option("--cpus", type=click.FloatRange(0.01), help="Limit processors, such as 1.5."),
    )


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay limits over a record."""
    import msgspec

    memory, pids, cpus = given.get("memory"), given.get("pids"), given.get("cpus")
    limits = msgspec.structs.replace(
        container.limits,
        memory=parse_size(memory) if isinstance(memory, str) else None,
        pids=pids if isinstance(pids, int) else None,
        cpus=cpus if isinstance(cpus, float) else None,
    )
    return msgspec.structs.replace(container, limits=limits)


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Read a size such as `512M` (powers of 1024, as systemd and podman have them) as bytes."""
    number, unit = text.rstrip("KMGTkmgtiBb"), text.lstrip("0123456789.")
    unit = unit.upper().removesuffix("B").removesuffix("I")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size < 1 << 20:
        raise RecipeError(
            f"`{text}` is not a size of at least 1 MiB", hint="write it as `512M` or `2G`"
        )
    return size
