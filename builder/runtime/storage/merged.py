"""A stopped container's layers seen as one tree, with the owners that they have on disk."""

from pathlib import Path

from builder.host.overlayfs import mounted
from builder.host.overlayfs.mount import Overlay
from builder.host.places import Places
from builder.runtime.record.container import Container, rootfs_of
from builder.runtime.record.layout import LAYERS, UPPER, WORK


def merged(places: Places, container: Container, area: Path) -> mounted.Seen:
    """See what a stopped container sees as its root; what is changed stays."""
    lowers = (*(area / LAYERS / layer for layer in container.layers), rootfs_of(places, container))
    every = Overlay(lowers, area / UPPER, area / WORK, of_user=places.ordinary)
    return mounted.overlaid(every, places.point)
