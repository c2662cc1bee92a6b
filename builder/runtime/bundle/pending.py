"""Whether anything is to be written into a container; most have nothing, and load no more."""

from builder.host.places import Places
from builder.runtime.record.layout import INSTANCE, PENDING, WRITTEN, folder_of


def waits(places: Places, name: str) -> bool:
    """Tell whether there is data that the container has not got yet, or not all of it."""
    folder = folder_of(places, name)
    return (folder / PENDING).exists() or (folder / WRITTEN).exists()


def is_written(places: Places, name: str) -> bool:
    """Tell whether the container has all of it, and it is still there."""
    return (folder_of(places, name) / WRITTEN).exists()


def is_instance(places: Places, name: str) -> bool:
    """Tell whether it is one of an appliance, and was told something."""
    return (folder_of(places, name) / INSTANCE).exists()
