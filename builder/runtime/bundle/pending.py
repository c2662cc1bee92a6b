"""Whether anything is to be written into a container; most have nothing, and load no more."""

import os

import msgspec

from builder.host.places import Places
from builder.runtime.record.layout import INSTANCE, PENDING, WRITTEN, folder_of


class _Answers(msgspec.Struct):
    missing: tuple[str, ...] = ()


class _Waits(msgspec.Struct):
    """What of it `list` needs, which asks of a thousand."""

    answers: _Answers


_WAITS = msgspec.json.Decoder(_Waits).decode


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


def unanswered(places: Places, name: str) -> tuple[str, ...]:
    """Name what an instance waits for before it serves anybody."""
    path = f"{places.data}/containers/{name}/{INSTANCE}"
    if not os.path.exists(path):  # noqa: PTH110  # quicker than Path, and most have none
        return ()
    try:
        return _WAITS((folder_of(places, name) / INSTANCE).read_bytes()).answers.missing
    except FileNotFoundError:
        return ()  # it is gone by now
