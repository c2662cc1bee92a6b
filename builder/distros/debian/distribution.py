"""Debian and its kin: their suites, mirrors and keys, and how an asking becomes a lock."""

import contextlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from builder.distros import TABLE, ArchiveSources, MirrorSettings, UnknownPackageError, fitting
from builder.distros.debian.archive.mirrors import find_mirrors
from builder.distros.debian.archive.sources import apt_sources
from builder.distros.debian.family import DEBIAN, Family
from builder.host.programs import Runner
from builder.host.sandbox.binfmt import emulator, is_foreign
from builder.host.trees.durable import disk_errors, locked
from builder.host.trees.removal import remove_tree
from builder.model.errors import RecipeError, TrustError
from builder.model.lock import Asked, Lock, Package, Release
from builder.model.recipe import Arch
from builder.model.value import digest_of, hex_of
from builder.store import Store

if TYPE_CHECKING:
    from builder.distros.buildroot import Kitchen
    from builder.distros.debian.archive.solve import Apt

# What solves and what installs is imported when it is to do so: most builds change nothing.

_PROGRAMS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "native": (("dpkg-deb", "--version"), ("tar", "--version")),
    "debootstrap": (("debootstrap", "--version"), ("dpkg", "--version"), ("tar", "--version")),
}
"""For each driver the host's programs whose version may show in the tree; others run inside."""


class Debian:
    """Debian, through its own apt and dpkg; a distribution of its kin has another `family`."""

    family: ClassVar[Family] = DEBIAN

    def sources(self, asked: Asked, settings: MirrorSettings, cache: Path) -> ArchiveSources:
        """Find the mirrors and the keys on this machine."""
        family = self.family
        return ArchiveSources(
            mirrors=find_mirrors(settings.mirrors, family, asked.arch),
            keyring=Path(settings.keyrings.get(family.name, family.keyring)),
            cache=cache,
            programs=_programs(asked.arch),
            files=apt_sources(family, asked),
            arrived=_unpack_early,
        )

    def resolve(
        self, asked: Asked, sources: ArchiveSources, run: Runner, keep: Lock | None = None
    ) -> Lock:
        """Decide which packages an asking means now, from signed indexes only."""
        from builder.distros.debian.archive.solve import Apt

        check_suite(self.family, asked.suite)
        parts = [asked.suite, asked.components, asked.arch, sources.mirrors, str(sources.keyring)]
        folder = sources.cache / "apt" / hex_of(digest_of(parts))[:16]
        with disk_errors(folder), locked(folder.with_suffix(".lock")):
            apt = Apt(folder, self.family, asked, run)
            try:
                return _resolve(apt, asked, sources, run, fitting(keep, asked))
            except TrustError:
                remove_tree(folder)
                raise

    def batches(
        self, packages: tuple[Package, ...], store: Store
    ) -> tuple[tuple[Package, ...], ...]:
        """Cut what a layer installs into batches that are installed one after the other."""
        from builder.distros.debian.package import batches

        return batches.batches(packages, store)

    def install(self, packages: tuple[Package, ...], kitchen: "Kitchen") -> None:
        """Install packages with the tree's own tools; without a tree, make one of them."""
        if kitchen.base is None:
            from builder.distros.debian import bootstrap

            bootstrap.bootstrap(packages, kitchen)
        else:
            from builder.distros.debian import install

            install.install(packages, kitchen.base, kitchen)


def _programs(arch: Arch) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Name the host's programs for each driver; what runs foreign scripts may show as well."""
    more = (emulator(arch),) if is_foreign(arch) else ()
    return {driver: (*programs, *more) for driver, programs in _PROGRAMS.items()}


def _unpack_early(package: Package, store: Store) -> None:
    from builder.distros.debian.bootstrap import unpack_early

    unpack_early(package, store)


def check_suite(family: Family, suite: str) -> None:
    """Raise RecipeError for a suite that Oven does not know."""
    known = TABLE[family.name].suites
    if suite in known:
        return
    near = get_close_matches(suite, known, n=1)
    raise RecipeError(
        f"unknown suite `{suite}` of {family.title}",
        hint=f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known)}",
    )


def _resolve(
    apt: "Apt", asked: Asked, sources: ArchiveSources, run: Runner, keep: Lock | None
) -> Lock:
    """Keep what a lock has if that can be; ask the mirrors when the indexes here do not do."""
    from builder.distros.debian.archive.indexes import find_pockets, read_release

    if keep is not None and apt.still_has(keep.releases):
        # What they lack or cannot satisfy may have come since.
        with contextlib.suppress(RecipeError):
            return _choose(apt, asked, keep.releases, keep)
    if apt.name not in sources.fresh:
        _update(apt, sources)
        sources.fresh.add(apt.name)
    found = find_pockets(apt.lists, apt.pockets)
    releases = tuple(read_release(pocket, sources.keyring, run) for pocket in found)
    _check_offer(asked, found[0].in_release.read_bytes())
    if keep is not None:
        with _second_chance():
            return _choose(apt, asked, releases, keep)
    return _choose(apt, asked, releases, None)


@contextlib.contextmanager
def _second_chance() -> Iterator[None]:
    """Let go what may do without an older lock: versions in it may stand in the way."""
    try:
        yield
    except UnknownPackageError:
        raise
    except RecipeError:
        pass


def _choose(apt: "Apt", asked: Asked, releases: tuple[Release, ...], keep: Lock | None) -> Lock:
    from builder.distros.debian.archive.choose import choose
    from builder.distros.debian.archive.indexes import Index, find_pockets

    index = Index(find_pockets(apt.lists, apt.pockets), notes=apt.notes)
    return choose(apt, index, asked, releases, keep)


def _update(apt: "Apt", sources: ArchiveSources) -> None:
    """Fetch the indexes from the preferred mirrors that work."""
    from builder.distros.debian.archive.solve import MirrorError

    left = {archive: list(urls) for archive, urls in sources.mirrors.items()}
    while True:
        try:
            apt.update({archive: urls[0] for archive, urls in left.items()}, sources.keyring)
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


def _check_offer(asked: Asked, release: bytes) -> None:
    """Compare what is asked for with what the suite says it has; apt would only leave it out."""
    from builder.distros.debian.archive.indexes import release_field

    if asked.arch not in release_field(release, "Architectures").split():
        raise RecipeError(f"`{asked.suite}` has no packages for `{asked.arch}`")
    components = release_field(release, "Components").split()
    for component in asked.components:
        if component not in components:
            raise RecipeError(
                f"`{asked.suite}` has no component `{component}`",
                hint=f"there are: {', '.join(components)}",
            )
