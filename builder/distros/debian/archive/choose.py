"""Choosing: from verified indexes to a lock, layer by layer."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import takewhile

from builder.distros import UnknownPackageError
from builder.distros.debian.archive.indexes import Index, epoch_of
from builder.distros.debian.archive.solve import Apt
from builder.model.errors import UpstreamError
from builder.model.lock import BASE, Asked, AskedLayer, Lock, Package, Release
from builder.model.value import digest_of

# An older lock is a promise: who adds a package to a recipe did not ask for others to change, and a
# build then has only the new one to do. So layers that are asked for as before are copied from
# the lock, and the solver sees its packages in the version that they have there.


def choose(
    apt: Apt, index: Index, asked: Asked, releases: tuple[Release, ...], keep: Lock | None
) -> Lock:
    """Choose the packages of all layers; what a layer has got, the next one leaves alone."""
    layers = (AskedLayer(recipe=BASE, install=_minimum(index)), *asked.layers)
    for layer in layers:
        for name in layer.install:
            _check_name(name, index, asked, apt.title)
    packages = _unchanged(layers, index, keep)
    done = _leading(layers, keep) if packages else ()
    left = layers[len(done) :]
    versions = {one.name: one.version for one in keep.packages if index.offers(one)} if keep else {}
    if any(layer.install for layer in left):
        wanted = [name for layer in left for name in layer.install]
        wide = any(layer.recommends for layer in left)
        there = [package.name for package in packages]
        apt.offer(index.reachable(wanted, recommends=wide, there=there, versions=versions))
    for layer in left:
        packages += _chosen(apt, index, layer, packages)
    return Lock(
        recipe=digest_of(asked),
        asked=asked,
        epoch=_epoch(packages, releases, keep),
        releases=releases,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def _chosen(apt: Apt, index: Index, layer: AskedLayer, below: list[Package]) -> list[Package]:
    if not layer.install:
        return []
    there = [index.stanza(package.name, package.version)[1] for package in below]
    return [
        index.package(name, version, layer.recipe, requested=name in layer.install)
        for name, version in apt.install(layer.install, on=there, recommends=layer.recommends)
    ]


def _leading(layers: Iterable[AskedLayer], keep: Lock | None) -> tuple[AskedLayer, ...]:
    """Give the lowest layers, as far as a lock was asked for the very same."""
    if keep is None:
        return ()
    base = {one.name for one in keep.packages if one.layer == BASE and one.requested}
    before = (AskedLayer(recipe=BASE, install=tuple(sorted(base))), *keep.asked.layers)
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(layers, before, strict=False))
    return tuple(layer for layer, _ in pairs)


def _unchanged(layers: Iterable[AskedLayer], index: Index, keep: Lock | None) -> list[Package]:
    """Copy from a lock what the lowest layers have; nothing if an index lacks some of it."""
    names = {layer.recipe for layer in _leading(layers, keep)}
    found = [one for one in keep.packages if one.layer in names] if keep else []
    return found if all(map(index.offers, found)) else []


def _epoch(packages: list[Package], releases: tuple[Release, ...], keep: Lock | None) -> int:
    """Give the date of the newest index, or of the lock if none of its packages has changed.

    Every file time of a template is held against it, so with a new one all would be made anew.
    """
    if keep is not None:
        now = {package.name: package.sha256 for package in packages}
        if all(now.get(one.name, one.sha256) == one.sha256 for one in keep.packages):
            return keep.epoch
    return epoch_of(releases)


def _minimum(index: Index) -> tuple[str, ...]:
    """Name what makes the smallest system that can install more: debootstrap's `minbase`."""
    seeds = index.seeds()
    if not seeds:
        raise UpstreamError("the index names no essential package, so it cannot be whole")
    names = {*seeds, "apt"}
    if index.has("usr-is-merged") and index.mentions(seeds, b"usrmerge | usr-is-merged"):
        # Bookworm's init-system-helpers wants proof that /bin is a link; the first alternative
        # would convert a system that is not so, and needs perl.
        names.add("usr-is-merged")
    return tuple(sorted(names))


def _check_name(name: str, index: Index, asked: Asked, title: str) -> None:
    if index.has(name):
        return
    near = get_close_matches(name, index.names(), n=3, cutoff=0.75)
    raise UnknownPackageError(
        name,
        f"there is no package `{name}` in {title} {asked.suite} for {asked.arch}",
        hint=f"did you mean {' or '.join(f'`{other}`' for other in near)}?"
        if near
        else f"searched: {', '.join(asked.components)}",
    )
