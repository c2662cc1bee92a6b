"""Origins: whose indexes apt is to fetch, and what of them is wanted."""

from dataclasses import dataclass

from builder.distros.debian.family import Family
from builder.model.lock import Asked, AskedRepository


@dataclass(frozen=True, slots=True)
class Origin:
    """A distribution with all its archives, or a repository."""

    title: str
    """Its name as people write it."""
    pockets: tuple[tuple[str, str], ...]
    """The archive and suite of everything that is wanted of it."""
    components: tuple[str, ...]
    """None for a flat archive."""
    arches: tuple[str, ...]
    """The template's own, and then others."""
    no_keys: str
    """What to do when its keys are not there."""
    bad_signature: str
    """What may be wrong when another key has signed."""


def of_family(family: Family, asked: Asked) -> Origin:
    """Give a distribution's own archives."""
    return Origin(
        title=family.title,
        pockets=family.pockets(asked.suite, asked.arch),
        components=asked.components,
        arches=(asked.arch, *asked.foreign),
        no_keys=f"apt-get install {family.keyring_package}, or have `keyring` in"
        f" `[archive.{family.name}]` of the settings name them",
        bad_signature=f"the mirror is broken or forged, or {family.keyring_package} is too old",
    )


def of_repository(asked: AskedRepository, arches: tuple[str, ...]) -> Origin:
    """Give an archive that a recipe has added."""
    return Origin(
        title=f"`{asked.name}`",
        pockets=tuple((asked.name, suite) for suite in asked.suites),
        components=asked.components,
        arches=arches,
        no_keys="run the same command again",
        bad_signature="it is broken or forged, or signs with another key now than "
        + " or ".join(asked.keys),
    )
