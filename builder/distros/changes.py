"""What differs between two locks, in the words of whoever reviews it."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol, get_args

import msgspec

from builder.model.lock import Lock, Package, changed_keys
from builder.model.value import Value

Kind = Literal["added", "removed", "upgraded", "downgraded", "changed", "moved"]
"""`changed`: other bytes, of the same version or of one of which nobody can tell which is newer.
`moved`: the same bytes, brought by another layer."""


class VersionOrder(Protocol):
    """Knows how a distribution orders versions."""

    def __call__(self, one: str, other: str, /) -> int | None:
        """Give less than 0, 0 or more than 0 as `one` is older, equal or newer; None: unknown."""


class PackageChange(Value, frozen=True, kw_only=True):
    """One package that is not what it was."""

    name: str
    kind: Kind
    arch: str
    """The package's own architecture; that of the new one, if there is one."""
    old: str | None = msgspec.field(default=None, name="from")
    """The version before; null when there was none."""
    new: str | None = msgspec.field(default=None, name="to")
    layer: str
    """Who brings it: `base`, or the name of a recipe."""
    archive: str
    """Which of the distribution's archives it comes from."""
    security: bool
    """Whether it comes from the archive of security fixes, and is new."""
    requested: bool
    """Whether a recipe asks for it by name; the others are dependencies."""


class ReleaseChange(Value, frozen=True, kw_only=True):
    """A signed index that is another one now."""

    archive: str
    suite: str
    old: str | None = msgspec.field(default=None, name="from")
    """Its date; null when there was none."""
    new: str | None = msgspec.field(default=None, name="to")


class Changes(Value, frozen=True, kw_only=True):
    """All that differs between two locks."""

    packages: tuple[PackageChange, ...] = ()
    """Sorted by name."""
    releases: tuple[ReleaseChange, ...] = ()
    keys: tuple[str, ...] = ()
    """The recipe's keys that were changed since the old lock was made."""

    @property
    def matter(self) -> bool:
        """Whether a template would be another one: a newer index alone makes none."""
        return bool(self.packages or self.keys)

    def counts(self) -> Mapping[str, int]:
        """Say how many packages each kind has, and how many are security fixes."""
        found: dict[str, int] = dict.fromkeys((*get_args(Kind), "security"), 0)
        for change in self.packages:
            found[change.kind] += 1
            found["security"] += change.security
        return {kind: number for kind, number in found.items() if number}


def changes(old: Lock, new: Lock, order: VersionOrder) -> Changes:
    """Compare two locks."""
    return Changes(
        packages=tuple(_packages(old.packages, new.packages, order)),
        releases=tuple(_releases(old, new)),
        keys=changed_keys(old.asked, new.asked),
    )


def is_security(archive: str) -> bool:
    """Tell whether an archive is one of security fixes, by what distributions call theirs."""
    return re.search(r"(^|[-/])security$", archive) is not None


def _packages(
    old: tuple[Package, ...], new: tuple[Package, ...], order: VersionOrder
) -> Iterator[PackageChange]:
    before, after = _by_name(old), _by_name(new)
    for name in sorted(before.keys() | after.keys()):
        for one, other in _pairs(before.get(name, []), after.get(name, [])):
            if (kind := _kind(one, other, order)) is not None:
                yield _change(kind, one, other)


def _by_name(packages: Iterable[Package]) -> dict[str, list[Package]]:
    found: dict[str, list[Package]] = defaultdict(list)
    for package in packages:
        found[package.name].append(package)
    return found


def _pairs(
    old: list[Package], new: list[Package]
) -> Iterator[tuple[Package | None, Package | None]]:
    """Say which package took the place of which; a name may stand for several of them.

    Equal ones are each other's, then those of the same architecture; one of another architecture
    (`amd64` that became `all`) follows when there is no other.
    """
    kept = {one.sha256 for one in old} & {one.sha256 for one in new}
    yield from (
        (one, next(other for other in new if other.sha256 == one.sha256))
        for one in old
        if one.sha256 in kept
    )
    left = [one for one in new if one.sha256 not in kept]
    gone = [one for one in old if one.sha256 not in kept]
    if len(left) == len(gone) == 1:
        yield gone[0], left[0]
        return
    for one in gone:
        match = next((other for other in left if other.arch == one.arch), None)
        if match is not None:
            left.remove(match)
        yield one, match
    yield from ((None, other) for other in left)


def _kind(old: Package | None, new: Package | None, order: VersionOrder) -> Kind | None:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if old.sha256 == new.sha256:
        return "moved" if old.layer != new.layer else None
    if old.version == new.version:
        return "changed"
    sign = order(old.version, new.version)
    if not sign:
        return "changed"
    return "upgraded" if sign < 0 else "downgraded"


def _change(kind: Kind, old: Package | None, new: Package | None) -> PackageChange:
    one = new or old
    assert one is not None  # there is no pair of nothing
    return PackageChange(
        name=one.name,
        kind=kind,
        arch=one.arch,
        old=old.version if old else None,
        new=new.version if new else None,
        layer=one.layer,
        archive=one.archive,
        security=new is not None and kind != "moved" and is_security(new.archive),
        requested=one.requested,
    )


def _releases(old: Lock, new: Lock) -> Iterator[ReleaseChange]:
    before = {(one.archive, one.suite): one for one in old.releases}
    after = {(one.archive, one.suite): one for one in new.releases}
    for archive, suite in sorted(before.keys() | after.keys()):
        one, other = before.get((archive, suite)), after.get((archive, suite))
        if one is None or other is None or one.sha256 != other.sha256:
            yield ReleaseChange(
                archive=archive,
                suite=suite,
                old=one.date if one else None,
                new=other.date if other else None,
            )
