"""Fetched archives: the distribution's and each repository's indexes, brought up to date."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.distros import RepositorySource
from builder.distros.debian.archive.indexes import NORMAL
from builder.distros.debian.archive.origin import Origin
from builder.distros.debian.archive.pockets import (
    Pocket,
    find_pockets,
    read_release,
    release_field,
)
from builder.distros.debian.archive.solve import Apt, MirrorError
from builder.host.programs import Runner
from builder.host.trees.durable import disk_errors, locked
from builder.host.trees.removal import remove_tree
from builder.model.errors import RecipeError, TrustError
from builder.model.lock import Release

# The distribution and each repository have an apt of their own, with a folder of their own: so no
# key signs for another archive, and indexes are shared by all recipes that want them.

UNASKED, UPGRADES = 1, 100
"""Apt's priorities of an archive that says NotAutomatic, and of one that says
ButAutomaticUpgrades as well (apt_preferences(5))."""


@dataclass(frozen=True, slots=True)
class Part:
    """A distribution or a repository, and where its indexes are kept."""

    apt: Apt
    origin: Origin
    keyring: Path
    mirrors: Mapping[str, tuple[str, ...]]
    repository: RepositorySource | None = None
    priority: int | None = None
    label: str = ""
    """For a pocket of the distribution's that must be asked for: its name."""

    @property
    def called(self) -> str:
        """Say what packages are asked of it by."""
        return self.label or self.origin.pockets[0][0]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else touch the indexes; they go when they cannot be trusted."""
        folder = self.apt.folder
        with disk_errors(folder), locked(folder.with_suffix(".lock")):
            self.apt.prepare()
            yield

    def still_has(self, releases: Iterable[Release]) -> bool:
        """Tell whether the indexes are those that a lock was made from."""
        return self.apt.still_has(releases)

    def pockets(self) -> tuple[Pocket, ...]:
        """Give what has been fetched."""
        return find_pockets(
            self.apt.lists,
            self.origin.pockets,
            added=self.repository is not None or bool(self.label),
            arch=self.origin.arches[0],
            label=self.label,
        )

    def refresh(self, fresh: set[str], run: Runner) -> tuple[Release, ...]:
        """Bring the indexes up to date, unless this command has; `fresh` has those that are."""
        with self._told():
            if self.repository is not None:
                self.keyring.write_bytes(self.repository.keys)
            if self.apt.name not in fresh:
                _update(self)
                fresh.add(self.apt.name)
            found = self.pockets()
            releases = tuple(read_release(pocket, self.keyring, run) for pocket in found)
            for pocket in found if self.repository else found[:1]:
                _check_offer(self.origin, pocket)
            return releases

    def weight(self) -> int:
        """Say how much its packages count beside others: as asked, or as the archive wants."""
        if self.priority is not None:
            return self.priority
        data = self.pockets()[0].in_release.read_bytes()
        if release_field(data, "NotAutomatic") != "yes":
            return NORMAL
        return UPGRADES if release_field(data, "ButAutomaticUpgrades") == "yes" else UNASKED

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            if self.repository is None:
                yield
            else:
                with self.repository.told():
                    yield
        except TrustError:
            remove_tree(self.apt.folder)
            raise


def _update(part: Part) -> None:
    """Fetch the indexes from the preferred mirrors that work."""
    left = {archive: list(part.mirrors[archive]) for archive, _ in part.origin.pockets}
    while True:
        try:
            part.apt.update({archive: urls[0] for archive, urls in left.items()}, part.keyring)
        except MirrorError as error:
            # With one host down, apt finds others unreachable too: change what can be changed.
            failed = [
                urls
                for urls in left.values()
                if len(urls) > 1 and any(url.startswith(f"{urls[0]}/") for url in error.urls)
            ]
            if not failed:
                raise
            for urls in failed:
                del urls[0]
        else:
            return


def _check_offer(origin: Origin, pocket: Pocket) -> None:
    """Compare what is asked for with what a suite says it has; apt would only leave it out."""
    release = pocket.in_release.read_bytes()
    arches = release_field(release, "Architectures").split()
    arch = origin.arches[0]
    if arch not in arches and not (pocket.added and (not arches or "all" in arches)):
        raise RecipeError(f"`{pocket.suite}` has no packages for `{arch}`")
    components = release_field(release, "Components").split()
    for component in origin.components:
        # Some say their components with the suite before them.
        if component not in components and not any(
            re.fullmatch(rf".*/{re.escape(component)}", one) for one in components
        ):
            raise RecipeError(
                f"`{pocket.suite}` has no component `{component}`",
                hint=f"there are: {', '.join(components)}",
            )
