"""Debian and its kin: their suites, mirrors and keys, and how an asking becomes a lock."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from builder.distros import (
    TABLE,
    ArchiveSources,
    AskedPackageError,
    MirrorSettings,
    TemplateRepository,
    UnknownPackageError,
    fitting,
)
from builder.distros.debian.archive.mirrors import find_mirrors
from builder.distros.debian.archive.sources import added_sources, apt_sources, pocket_sources
from builder.distros.debian.family import DEBIAN, Family
from builder.host.programs import Runner, on_host
from builder.host.sandbox.binfmt import emulator, is_foreign
from builder.model.errors import OvenError, RecipeError
from builder.model.lock import Asked, AskedLayer, Lock, Package, Release
from builder.model.package_words import read_word
from builder.model.recipe import Arch
from builder.model.value import digest_of, hex_of
from builder.store import Store

if TYPE_CHECKING:
    from builder.distros.buildroot import Kitchen
    from builder.distros.debian.archive.fetched import Part
    from builder.distros.debian.archive.ground import Ground

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
        check_suite(self.family, asked.suite)
        _check_foreign(self.family, asked)
        parts = _parts(self.family, asked, sources, run)
        chooser = partial(_choose, parts, asked, _ground(self.family, asked, sources))
        with contextlib.ExitStack() as stack:
            for part in parts:
                stack.enter_context(part.held())
            try:
                return _resolve(parts, chooser, sources, run, fitting(keep, asked))
            except UnknownPackageError as error:
                unknown = error
        with contextlib.suppress(OvenError):  # a better hint is all that is missed
            _hint_component(unknown, self.family, parts[0], asked, sources)
        raise unknown

    def template_files(self, repository: TemplateRepository) -> Mapping[str, bytes]:
        """Write the source, the key and the priority of a repository, by path."""
        return added_sources(repository)

    def pocket_files(self, asked: Asked, layer: AskedLayer) -> Mapping[str, bytes]:
        """Write the sources of pockets that a layer takes packages from."""
        return pocket_sources(self.family, asked, _targets(self.family, asked, [layer]))

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


def _check_foreign(family: Family, asked: Asked) -> None:
    """Raise AskedPackageError for an architecture that cannot be there beside the template's."""
    mine = family.archives_for(asked.arch)
    for layer in asked.layers:
        for text, word in zip(layer.install, layer.words(), strict=True):
            if word.arch not in asked.foreign:
                continue
            if word.arch not in tuple(Arch) or family.archives_for(word.arch) != mine:
                same = (one for one in Arch if family.archives_for(one) == mine)
                raise AskedPackageError(
                    f"{family.title}'s archives of `{asked.arch}` have nothing for `{word.arch}`",
                    (text,),
                    hint=f"they have: {', '.join(same)}",
                )


def _hint_component(
    error: UnknownPackageError, family: Family, base: "Part", asked: Asked, sources: ArchiveSources
) -> None:
    """Have an error about a package that is in another component say so."""
    from builder.distros.debian.archive.elsewhere import component_of

    def part(components: tuple[str, ...]) -> "Part":
        plain = msgspec.structs.replace(asked, components=components, layers=())
        own = {name: sources.mirrors[name] for name in base.mirrors}
        return _parts(family, plain, replace(sources, mirrors=own, repositories={}), on_host)[0]

    name = read_word(error.name).name
    if found := component_of(name, base, part, sources.fresh):
        listed = ", ".join(f'"{one}"' for one in (*asked.components, found))
        error.hint = f"it is in `{found}`: write `components = [{listed}]` in `[base]`"


def _targets(family: Family, asked: Asked, layers: Iterable[AskedLayer]) -> dict[str, str]:
    """Name the pockets that some package is asked of, each with its archive."""
    wanted = {word.target for layer in layers for word in layer.words()}
    further = family.further(asked.suite, asked.arch)
    return {pocket: archive for pocket, archive in further.items() if pocket in wanted}


def _parts(family: Family, asked: Asked, sources: ArchiveSources, run: Runner) -> "list[Part]":
    """Give the distribution and the repositories, each with the folder of its indexes."""
    from builder.distros.debian.archive.fetched import Part
    from builder.distros.debian.archive.origin import of_family, of_repository
    from builder.distros.debian.archive.solve import Apt

    def folder(*parts: object) -> Path:
        more = (asked.foreign,) if asked.foreign else ()
        return sources.cache / "apt" / hex_of(digest_of((*parts, *more)))[:16]

    own = {name: urls for name, urls in sources.mirrors.items() if name not in sources.repositories}
    place = folder(asked.suite, asked.components, asked.arch, own, str(sources.keyring))
    origin = of_family(family, asked)
    found = [Part(Apt(place, origin, run), origin, sources.keyring, own)]
    for pocket, archive in _targets(family, asked, asked.layers).items():
        place = folder(pocket, asked.components, asked.arch, own, str(sources.keyring))
        some = replace(origin, pockets=((archive, pocket),))
        found.append(Part(Apt(place, some, run), some, sources.keyring, own, label=pocket))
    # In one order everywhere: each waits for the folders of others.
    for one in sorted(asked.repositories, key=lambda one: one.name):
        known, mirrors = sources.repositories[one.name], sources.mirrors[one.name]
        place = folder(one.name, one.suites, one.components, asked.arch, mirrors, known.keys)
        origin = of_repository(one, (asked.arch, *asked.foreign))
        apt = Apt(place, origin, run)
        keyring = place / "keyring.gpg"
        found.append(Part(apt, origin, keyring, {one.name: mirrors}, known, one.priority))
    return found


def _ground(family: Family, asked: Asked, sources: ArchiveSources) -> "Ground | None":
    if sources.ground is None:
        return None
    from builder.distros.debian.archive.ground import read_ground

    return read_ground(sources.ground, family, asked)


def _resolve(
    parts: "list[Part]", choose: "Chooser", sources: ArchiveSources, run: Runner, keep: Lock | None
) -> Lock:
    """Keep what a lock has if that can be; ask the mirrors when the indexes here do not do."""
    if keep is not None and all(part.still_has(keep.releases) for part in parts):
        # What they lack or cannot satisfy may have come since.
        with contextlib.suppress(RecipeError):
            return choose(_releases_of(parts, keep), keep)
    found = (part.refresh(sources.fresh, run) for part in parts)
    releases = tuple(release for some in found for release in some)
    if keep is not None:
        with _second_chance():
            return choose(releases, keep)
    return choose(releases, None)


def _releases_of(parts: "list[Part]", keep: Lock) -> tuple[Release, ...]:
    """Leave out the indexes of repositories that are asked for no more."""
    wanted = {pocket for part in parts for pocket in part.origin.pockets}
    return tuple(one for one in keep.releases if (one.archive, one.suite) in wanted)


@contextlib.contextmanager
def _second_chance() -> Iterator[None]:
    """Let go what may do without an older lock: versions in it may stand in the way."""
    try:
        yield
    except UnknownPackageError:
        raise
    except RecipeError:
        pass


Chooser = Callable[[tuple[Release, ...], Lock | None], Lock]
"""Makes a lock of indexes, which keeps what an older one has."""


def _choose(
    parts: "list[Part]",
    asked: Asked,
    ground: "Ground | None",
    releases: tuple[Release, ...],
    keep: Lock | None,
) -> Lock:
    from builder.distros.debian.archive.choose import Offers, choose
    from builder.distros.debian.archive.indexes import Index

    base, *others = parts
    notes = "-".join(("contents", *(part.apt.folder.name for part in others)))
    if len(others) > 1:
        notes = f"contents-{hex_of(digest_of(notes))[:16]}"
    pockets = [pocket for part in parts for pocket in part.pockets()]
    index = Index(pockets, notes=base.apt.folder / notes)
    weights = {part.called: part.weight() for part in others}
    apt = base.apt if ground is None else base.apt.alone()
    return choose(Offers(apt, index, base.origin.title, weights, ground), asked, releases, keep)
