"""Choosing: from verified indexes to a lock, layer by layer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

import msgspec

from builder.distros.debian.archive.ground import Ground, There
from builder.distros.debian.archive.indexes import Index, View
from builder.distros.debian.archive.pockets import epoch_of
from builder.distros.debian.archive.solve import Apt
from builder.distros.debian.archive.wishes import Reader, Wishes, kept_versions
from builder.model.errors import UpstreamError
from builder.model.lock import BASE, Asked, AskedLayer, Lock, Package, Release, Removal
from builder.model.package_words import read_word
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
    """The priority of each repository, and of each pocket that must be asked for."""
    ground: Ground | None = None
    """What is there already, in place of a base."""
    _seen: dict[str, Index] = field(default_factory=dict)

    def to(self, layer: AskedLayer, asked: Asked) -> Index:
        """Give what a layer may choose from: no layer sees the repositories of those above it."""
        if not self.weights and not asked.foreign:
            return self.index
        hidden, foreign = set(self.weights), set[str]()
        for one in asked.layers if layer.recipe != BASE else ():
            hidden -= {repository.name for repository in one.archives}
            hidden -= {word.target for word in one.words()}
            foreign |= {word.arch for word in one.words()} & {*asked.foreign}
            if one.recipe == layer.recipe:
                break
        view = View(asked.arch, tuple(sorted(foreign)), self.weights, frozenset(hidden))
        return self._seen.setdefault(repr(view), self.index.seen(view))


def choose(offers: Offers, asked: Asked, releases: tuple[Release, ...], keep: Lock | None) -> Lock:
    """Choose the packages of all layers; what a layer has got, the next one leaves alone."""
    index = offers.index
    layers = asked.layers
    if offers.ground is None:
        layers = (AskedLayer(recipe=BASE, install=_minimum(index)), *layers)
    work = _Work(offers, asked, kept_versions(keep.packages if keep else (), index))
    wishes = [work.wishes(layer) for layer in layers]
    work.packages = _unchanged(layers, index, keep)
    done = len(_leading(layers, keep)) if work.packages else 0
    if keep is not None:
        work.removed = [one for layer in layers[:done] for one in keep.removed_by(layer.recipe)]
    left = list(zip(layers, wishes, strict=True))[done:]
    work.prepare(left)
    for layer, wish in left:
        if layer.install or layer.removals:
            work.add(layer, wish)
    return Lock(
        recipe=digest_of(asked),
        asked=asked,
        epoch=_epoch(work.packages, releases, keep),
        releases=releases,
        packages=tuple(sorted(work.packages, key=lambda one: (one.name, _rank(one, asked)))),
        removed=tuple(sorted(work.removed, key=lambda one: one.name)) or msgspec.UNSET,
    )


def _rank(package: Package, asked: Asked) -> str:
    """Have a package of a foreign architecture come after the template's own."""
    return package.arch if package.arch in asked.foreign else ""


class _Work:
    """What is chosen so far, and how the rest is."""

    def __init__(self, offers: Offers, asked: Asked, kept: Mapping[str, tuple[str, ...]]) -> None:
        self._offers = offers
        self._asked = asked
        self._kept = kept
        self._told: tuple[Index, Mapping[str, str]] | None = None
        self._names: set[str] = set()
        self._wide = False
        self.packages: list[Package] = []
        self.removed: list[Removal] = []

    def wishes(self, layer: AskedLayer) -> Wishes:
        """Read what a layer says; raises AskedPackageError for what nobody has."""
        asked, offers = self._asked, self._offers
        where = f"{offers.title} {asked.suite} for {asked.arch}"
        searched = f"searched: {', '.join(asked.components)}"
        return Reader(offers.to(layer, asked), where, searched, self._kept).read(layer)

    def prepare(self, left: Iterable[tuple[AskedLayer, Wishes]]) -> None:
        """Note what apt will be asked for, so that it is described but once."""
        for layer, wish in left:
            self._names |= {name.partition(":")[0] for name in (*wish.names, *wish.unwanted)}
            self._wide = self._wide or layer.recommends

    def add(self, layer: AskedLayer, wish: Wishes) -> None:
        """Choose what a layer brings and takes away."""
        apt, seen = self._offers.apt, self._offers.to(layer, self._asked)
        there = self._there(seen)
        self._tell(apt, seen, wish, there)
        stanzas = [one.stanza for one in there.values()]
        chosen, gone = apt.install(wish, on=stanzas, recommends=layer.recommends)
        for name, arch in gone:
            one = there[name, arch]
            self.removed.append(Removal(name=name, arch=one.arch, layer=layer.recipe))
        # What replaces something counts as that did.
        counts = {key for key, one in there.items() if one.counts}
        foreign = self._asked.foreign
        words = map(read_word, wish.names)
        counts |= {(one.name, one.arch if one.arch in foreign else "") for one in words}
        self.packages += [
            seen.package(name, version, layer.recipe, requested=(name, arch) in counts, arch=arch)
            for name, arch, version in chosen
        ]

    def _there(self, seen: Index) -> dict[tuple[str, str], There]:
        """Give what the layers below have, by name and foreign architecture."""
        found = dict(self._offers.ground or {})
        gone = {(one.layer, one.name, one.arch) for one in self.removed}
        for layer in (BASE, *(one.recipe for one in self._asked.layers)):
            found = {
                key: one for key, one in found.items() if (layer, key[0], one.arch) not in gone
            }
            for one in self.packages:
                if one.layer == layer:
                    found[one.name, _rank(one, self._asked)] = _described(seen, one)
        return found

    def _tell(
        self, apt: Apt, seen: Index, wish: Wishes, there: Mapping[tuple[str, str], There]
    ) -> None:
        """Tell apt what there is to choose from, unless it knows."""
        changed = {**wish.versions, **wish.raised}
        if self._told is not None and self._told[0] is seen and self._told[1] == changed:
            return
        fixed = {name: versions for name, versions in self._kept.items() if name not in changed}
        names = {name for name, _ in there}
        if self._offers.ground is not None:
            # What it has may be older than all that is offered, and become new.
            wanted, leaves = self._names | names, set[str]()
        else:
            wanted, leaves = self._names, names
        text = seen.reachable(wanted, recommends=self._wide, there=leaves, versions=fixed)
        apt.offer(text, seen.pins(PACKAGE.findall(text.decode(errors="replace")), wish.raised))
        self._told = (seen, changed)


def _described(index: Index, package: Package) -> There:
    """Describe a package that a layer has; all of the base counts as asked for."""
    _, stanza = index.stanza(package.name, package.version, package.arch)
    counts = package.requested or package.layer == BASE
    return There(package.arch, stanza + b"\nStatus: install ok installed", counts=counts)


def _leading(layers: Iterable[AskedLayer], keep: Lock | None) -> tuple[AskedLayer, ...]:
    """Give the lowest layers, as far as a lock was asked for the very same."""
    if keep is None:
        return ()
    base = {one.name for one in keep.packages if one.layer == BASE and one.requested}
    lowest = (AskedLayer(recipe=BASE, install=tuple(sorted(base))),) if base else ()
    before = (*lowest, *keep.asked.layers)
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
