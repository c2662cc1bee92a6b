"""What tests ask an archive for, and what of it was locked."""

import dataclasses

from builder.distros import ArchiveSources
from builder.model.lock import Asked, AskedLayer, Lock
from builder.model.recipe import Arch


def asked(*install: str, recommends: bool = False, appliance: tuple[str, ...] = ()) -> Asked:
    return Asked(
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        components=("main",),
        layers=(
            AskedLayer(recipe="template", install=install, recommends=recommends),
            AskedLayer(recipe="appliance", install=appliance),
        ),
    )


def later(sources: ArchiveSources) -> ArchiveSources:
    """Give the sources as another command has them."""
    return dataclasses.replace(sources, fresh=set())


def names(lock: Lock, layer: str) -> list[str]:
    return [package.name for package in lock.packages if package.layer == layer]
