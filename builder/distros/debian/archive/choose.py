"""Choosing: from verified indexes to a lock, layer by layer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import takewhile

from builder.distros import UnknownPackageError
from builder.distros.debian.archive.indexes import Index, View
from builder.distros.debian.archive.pockets import epoch_of
from builder.distros.debian.archive.solve import Apt
from builder.model.errors import UpstreamError
from builder.model.lock import BASE, Asked, AskedLayer, Lock, Package, Release
from builder.model.value import digest_of

PACKAGE = re.compile(r"^Package: *(\S+)", re.MULTILINE)

# An older lock is a promise: who adds a package to a recipe did not ask for others to change, and a
# build then has only the new one to do. So layers that are asked for as before are copied from
# the lock, and the solver sees its packages in the version that they have there.


@dataclass(frozen=True, slots=True)
class Offers:
    """What there is to choose from, and who chooses."""

    apt: Apt
    index: Index
    title: str
    """The distribution's name as people write it."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """The priority of each repository."""

    def to(self, layer: AskedLayer, asked: Asked) -> Index:
        """Give what a layer may choose from: no layer sees the repositories of those above it."""
        if not self.weights:
            return self.index
        hidden = set(self.weights)
        for one in asked.layers if layer.recipe != BASE else ():
            hidden -= {repository.name for repository in one.archives}
            if one.recipe == layer.recipe:
                break
        return self.index.seen(View(asked.arch, self.weights, frozenset(hidden)))


def choose(offers: Offers, asked: Asked, releases: tuple[Release, ...], keep: Lock | None) -> Lock:
    """Choose the packages of all layers; what a layer has got, the next one leaves alone."""
    apt, index = offers.apt, offers.index
    layers = (AskedLayer(recipe=BASE, install=_minimum(index)), *asked.layers)
    for layer in layers:
        for name in layer.install:
            _check_name(name, index, asked, offers.title)
    packages = _unchanged(layers, index, keep)
    done = _leading(layers, keep) if packages else ()
    left = layers[len(done) :]
    # A layer may have replaced what one below has; its version is that of the last one.
    versions = {one.name: one.version for one in keep.packages if index.offers(one)} if keep else {}
    wanted = [name for layer in left for name in layer.install]
    wide = any(layer.recommends for layer in left)
    told: Index | None = None
    for layer in (one for one in left if one.install):
        seen = offers.to(layer, asked)
        if told is None or seen is not told:
            there = [package.name for package in packages]
            text = seen.reachable(wanted, recommends=wide, there=there, versions=versions)
            apt.offer(text, seen.pins(PACKAGE.findall(text.decode(errors="replace"))))
            told = seen
        packages += _chosen(apt, seen, layer, packages)
    return Lock(
        recipe=digest_of(asked),
        asked=asked,
        epoch=_epoch(packages, releases, keep),
        releases=releases,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def _chosen(apt: Apt, index: Index, layer: AskedLayer, below: list[Package]) -> list[Package]:
    there = {package.name: package for package in below}  # what a layer replaces comes later
    stanzas = [index.stanza(one.name, one.version)[1] for one in there.values()]
    chosen = apt.install(layer.install, on=stanzas, recommends=layer.recommends)
    # What replaces something counts as that did; all of the base counts as asked for.
    counts = {one.name for one in there.values() if one.requested or one.layer == BASE}
    counts |= set(layer.install)
    return [
        index.package(name, version, layer.recipe, requested=name in counts)
        for name, version in chosen
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
