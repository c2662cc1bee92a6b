"""Debian: its suites, what belongs in its smallest system, and how an asking becomes a lock."""

from difflib import get_close_matches
from pathlib import Path

from builder.distros import MirrorSettings, Sources, UnknownPackageError
from builder.distros.debian import batches, bootstrap, install
from builder.distros.debian.indexes import (
    Index,
    epoch_of,
    find_pockets,
    read_release,
    release_field,
)
from builder.distros.debian.mirrors import SUPPORTED, default_mirrors, find_mirrors, pockets
from builder.distros.debian.solve import Apt, MirrorError
from builder.distros.debian.sources import PATH, apt_sources
from builder.distros.kitchen import Kitchen
from builder.host.files import disk_errors, locked
from builder.host.process import Runner
from builder.host.removal import remove_tree
from builder.model.errors import RecipeError, TrustError, UpstreamError
from builder.model.lock import BASE, Asked, AskedLayer, Lock, Package
from builder.model.value import digest_of, hex_of
from builder.store import Store

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Debian:
    """Debian, through its own apt and dpkg."""

    def sources(self, asked: Asked, settings: MirrorSettings, cache: Path) -> Sources:
        """Find the mirrors and the keys on this machine."""
        return Sources(
            mirrors=find_mirrors(settings.mirrors),
            keyring=Path(settings.keyrings.get("debian", KEYRING)),
            cache=cache,
            programs=bootstrap.PROGRAMS,
            files={PATH: apt_sources(asked.suite, asked.components, default_mirrors())},
            arrived=bootstrap.unpack_early,
        )

    def resolve(self, asked: Asked, sources: Sources, run: Runner) -> Lock:
        """Decide which packages an asking means now, from signed indexes only."""
        check_suite(asked.suite)
        parts = [asked.suite, asked.components, asked.arch, sources.mirrors, str(sources.keyring)]
        folder = sources.cache / "apt" / hex_of(digest_of(parts))[:16]
        with disk_errors(folder), locked(folder.with_suffix(".lock")):
            apt = Apt(folder, asked, run)
            try:
                if folder.name not in sources.fresh:
                    _update(apt, sources)
                    sources.fresh.add(folder.name)
                return _lock(apt, asked, sources, run)
            except TrustError:
                remove_tree(folder)
                raise

    def batches(
        self, packages: tuple[Package, ...], store: Store
    ) -> tuple[tuple[Package, ...], ...]:
        """Cut what a layer installs into batches that are installed one after the other."""
        return batches.batches(packages, store)

    def install(self, packages: tuple[Package, ...], kitchen: Kitchen) -> None:
        """Install packages with the tree's own tools; without a tree, make one of them."""
        if kitchen.base is None:
            bootstrap.bootstrap(packages, kitchen)
        else:
            install.install(packages, kitchen.base, kitchen)


def check_suite(suite: str) -> None:
    """Raise RecipeError for a suite that Oven does not know."""
    if suite in SUPPORTED:
        return
    near = get_close_matches(suite, SUPPORTED, n=1)
    known = ", ".join(SUPPORTED)
    raise RecipeError(
        f"unknown suite `{suite}` of Debian",
        hint=f"did you mean `{near[0]}`?" if near else f"there are: {known}",
    )


def _update(apt: Apt, sources: Sources) -> None:
    """Fetch the indexes from the preferred mirrors that work."""
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


def _lock(apt: Apt, asked: Asked, sources: Sources, run: Runner) -> Lock:
    """Choose the packages layer by layer; what a layer has got, the next one leaves alone."""
    found = find_pockets(apt.lists, pockets(asked.suite))
    releases = tuple(read_release(pocket, sources.keyring, run) for pocket in found)
    _check_offer(asked, found[0].in_release.read_bytes())
    index = Index(found)
    seeds = _minimum(index)
    layers = (AskedLayer(recipe=BASE, install=seeds), *asked.layers)
    asked_for = [name for layer in layers for name in layer.install]
    for name in asked_for:
        _check_name(name, index, asked)
    wide = any(layer.recommends for layer in layers)
    apt.offer(index.reachable(asked_for, recommends=wide))
    packages: list[Package] = []
    for layer in layers:
        if layer.install:
            there = [index.stanza(package.name, package.version)[1] for package in packages]
            chosen = apt.install(layer.install, on=there, recommends=layer.recommends)
            packages += [
                index.package(name, version, layer.recipe, requested=name in layer.install)
                for name, version in chosen
            ]
    return Lock(
        recipe=digest_of(asked),
        asked=asked,
        epoch=epoch_of(releases),
        releases=releases,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def _minimum(index: Index) -> tuple[str, ...]:
    """Name what makes the smallest Debian that can install more: debootstrap's `minbase`."""
    seeds = index.seeds()
    if not seeds:
        raise UpstreamError("the index names no essential package, so it cannot be whole")
    names = {*seeds, "apt"}
    if index.mentions(seeds, b"usrmerge | usr-is-merged"):
        # Bookworm's init-system-helpers wants proof that /bin is a link; the first alternative
        # would convert a system that is not so, and needs perl.
        names.add("usr-is-merged")
    return tuple(sorted(names))


def _check_offer(asked: Asked, release: bytes) -> None:
    """Compare what is asked for with what the suite says it has; apt would only leave it out."""
    if asked.arch not in release_field(release, "Architectures").split():
        raise RecipeError(f"`{asked.suite}` has no packages for `{asked.arch}`")
    components = release_field(release, "Components").split()
    for component in asked.components:
        if component not in components:
            raise RecipeError(
                f"`{asked.suite}` has no component `{component}`",
                hint=f"there are: {', '.join(components)}",
            )


def _check_name(name: str, index: Index, asked: Asked) -> None:
    if index.has(name):
        return
    near = get_close_matches(name, index.names(), n=3, cutoff=0.75)
    raise UnknownPackageError(
        name,
        f"there is no package `{name}` in Debian {asked.suite} for {asked.arch}",
        hint=f"did you mean {' or '.join(f'`{other}`' for other in near)}?"
        if near
        else f"searched: {', '.join(asked.components)}",
    )
