"""Whether first-boot data waits for a container; most have none, and load nothing that reads it."""

from builder.host.places import Places
from builder.runtime.record.layout import PENDING, WRITTEN, folder_of


def waits(places: Places, name: str) -> bool:
    """Tell whether there is data that the container has not got yet, or not all of it."""
    folder = folder_of(places, name)
    return (folder / PENDING).exists() or (folder / WRITTEN).exists()


def is_written(places: Places, name: str) -> bool:
    """Tell whether the container has all of it, and it is still there."""
    return (folder_of(places, name) / WRITTEN).exists()
