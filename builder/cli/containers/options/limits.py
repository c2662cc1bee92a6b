"""Options for what a container may use."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator
    from builder.runtime.record.container import Container

NONE = "none"
"""What takes a limit away."""


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of them."""
    import click

    return tuple(click.option(f"--{name}", metavar=word, help=text) for name, word, text in _WORDS)


_WORDS = (
    ("memory", "SIZE", "Limit memory, such as 512M; `none` takes a limit away, here and below."),
    ("swap", "SIZE", "Limit swap beyond memory; 0: none at all."),
    ("cpus", "N", "Limit processors, such as 1.5."),
    ("weight", "N", "Share where processors are too few, 1 to 10000; the usual one is 100."),
    ("pids", "N", "Limit processes and threads."),
    ("read-bps", "SIZE", "Limit bytes a second read from disks."),
    ("write-bps", "SIZE", "Limit bytes a second written to disks."),
    ("read-iops", "N", "Limit reads from disks a second."),
    ("write-iops", "N", "Limit writes to disks a second."),
    ("disk", "SIZE", "Limit bytes that it may change and add on disk."),
    ("inodes", "N", "Limit files and folders that it may change and add."),
)
"""Option, what stands for its value, and what it means."""


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay limits over a record; what was not given stays, `none` takes a limit away."""
    import msgspec

    changes: dict[str, object] = {}
    for option, (field, read) in _FIELDS.items():
        text = given.get(option)
        if isinstance(text, str):
            changes[field] = None if text == NONE else read(text, f"--{option.replace('_', '-')}")
    limits = msgspec.structs.replace(container.limits, **changes)
    return msgspec.structs.replace(container, limits=limits)


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str, option: str, least: int = 1 << 20) -> int:
    """Read a size such as `512M` (powers of 1024, as systemd and podman have them) as bytes."""
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else -1
    if size < least:
        bound = {0: "", 1: ""}.get(least, f" of at least {least >> 20} MiB")
        raise RecipeError(
            f"`{option} {text}` is not a size{bound}", hint="write it as `512M` or `2G`, or `none`"
        )
    return size


def _size(least: int) -> Callable[[str, str], object]:
    return lambda text, option: parse_size(text, option, least)


def _count(least: int, most: int = (1 << 63) - 1) -> Callable[[str, str], object]:
    def read(text: str, option: str) -> object:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if not least <= number <= most:
            bound = f"of at least {least}" if most >> 62 else f"from {least} to {most}"
            raise RecipeError(f"`{option} {text}` is not a number {bound}, nor `none`")
        return number

    return read


def _processors(text: str, option: str) -> object:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.01 <= number <= 1 << 20:  # also false of `nan`
        raise RecipeError(f"`{option} {text}` is not a number of at least 0.01, nor `none`")
    return number


_FIELDS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "memory": ("memory", _size(1 << 20)),
    "swap": ("swap", _size(0)),
    "cpus": ("cpus", _processors),
    "weight": ("weight", _count(1, 10000)),
    "pids": ("pids", _count(1)),
    "read_bps": ("read_bytes", _size(1)),
    "write_bps": ("write_bytes", _size(1)),
    "read_iops": ("read_operations", _count(1)),
    "write_iops": ("write_operations", _count(1)),
    "disk": ("disk", _size(16 << 20)),
    "inodes": ("inodes", _count(1024)),
}
"""Which field of `Limits` an option is, and how its words are read."""
