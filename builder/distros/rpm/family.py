"""How an asking becomes a lock, and a lock a tree, for every distribution of the RPM family."""

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from msgspec import structs

from builder.distros import (
    ArchiveSources,
    MirrorSettings,
    TemplateRepository,
    UnknownPackageError,
    fitting,
)
from builder.distros.keys import Keys
from builder.distros.rpm import keys as key_files
from builder.distros.rpm.declaration import MACHINES, Declaration
from builder.distros.rpm.keys import find_key_file, pinned_keys, read_keys, signers
from builder.distros.rpm.sources import added_sources
from builder.distros.rpm.words import check_words, is_meant
from builder.host.programs import Runner
from builder.host.sandbox.binfmt import emulator, is_foreign
from builder.host.trees.durable import disk_errors, locked
from builder.host.trees.removal import remove_tree
from builder.model.errors import OvenError, RecipeError, TrustError, UpstreamError
from builder.model.lock import BASE, Asked, AskedLayer, Lock, Package, Release, described
from builder.model.value import digest_of, hex_of
from builder.store import Store

if TYPE_CHECKING:
    from builder.distros.buildroot import Kitchen
    from builder.distros.rpm.dnf import AddedMirrors, Dnf
    from builder.distros.rpm.metadata import Metadata, RpmEntry

PROGRAMS = (("rpm", "--version"),)
"""The host's programs whose version shows in a tree: rpm writes it. Dnf hands it the packages, and
takes as long to tell its version as all else that an unchanged build does."""


class Rpm:
    """A distribution of the RPM family; a child has its declaration."""

    declaration: ClassVar[Declaration]

    def sources(self, asked: Asked, settings: MirrorSettings, cache: Path) -> ArchiveSources:
        """Find the mirrors and the keys on this machine."""
        known = self.declaration
        own = settings.keyrings.get(known.name)
        pinned = () if own else tuple(known.suites[asked.suite].keys)
        keyring = Path(own) if own else self._key_file(asked.suite)
        urls = settings.mirrors.get(known.name) or (known.mirror,)
        more = (emulator(asked.arch),) if is_foreign(asked.arch) else ()
        return ArchiveSources(
            mirrors={known.name: tuple(url.rstrip("/") for url in urls)},
            keyring=keyring,
            cache=cache,
            programs={"native": (*PROGRAMS, *more)},
            # A keyring that the user names is what the user trusts, all of it.
            keys=Keys(data=read_keys(keyring, known.title), fingerprints=pinned),
        )

    def resolve(
        self, asked: Asked, sources: ArchiveSources, run: Runner, keep: Lock | None = None
    ) -> Lock:
        """Decide which packages an asking means now, from verified metadata only."""
        self._check(asked)
        assert sources.keys is not None
        parts = [asked.distro, asked.suite, asked.components, asked.arch, sources.keys]
        parts.append(sources.mirrors)
        if asked.repositories:
            parts += [asked.repositories, [one.keys for one in sources.repositories.values()]]
        folder = sources.cache / "dnf" / hex_of(digest_of(parts))[:16]
        with disk_errors(folder), locked(folder.with_suffix(".lock")):
            try:
                return self._lock(folder, asked, sources, run, fitting(keep, asked))
            except TrustError:
                remove_tree(folder)
                raise

    def batches(
        self,
        packages: tuple[Package, ...],
        store: Store,  # noqa: ARG002  # nothing to look at
    ) -> tuple[tuple[Package, ...], ...]:
        """Install a layer in one go: an RPM's scriptlets may want anything that is there."""
        return (packages,)

    def template_files(self, repository: TemplateRepository) -> Mapping[str, bytes]:
        """Write the source and the key of a repository, by path."""
        return added_sources(repository)

    def pocket_files(self, asked: Asked, layer: AskedLayer) -> Mapping[str, bytes]:  # noqa: ARG002
        """Write nothing: there are no pockets."""
        return {}

    def install(self, packages: tuple[Package, ...], kitchen: "Kitchen") -> None:
        """Install packages with the host's dnf and rpm; the tree need not have any."""
        from builder.distros.rpm.install import install

        suite = self.declaration.suites[kitchen.suite]
        install(packages, kitchen, database=suite.database)

    def _key_file(self, suite: str) -> Path:
        names = [name for names in self.declaration.suites[suite].keys.values() for name in names]
        return find_key_file(names) or key_files.FOLDERS[-1] / names[0]

    def _check(self, asked: Asked) -> None:
        """Compare what is asked for with what the distribution has."""
        known = self.declaration
        if asked.suite not in known.suites:
            raise RecipeError(
                f"unknown release `{asked.suite}` of {known.title}",
                hint=f"there are: {', '.join(known.suites)}",
            )
        if asked.arch not in known.machines:
            raise RecipeError(f"{known.title} is not made for `{asked.arch}`")
        for component in asked.components:
            if component not in known.components:
                raise RecipeError(
                    f"{known.title} has no component `{component}`",
                    hint=f"there are: {', '.join(known.components)}",
                )

    def _added(
        self, asked: Asked, sources: ArchiveSources, folder: Path, run: Runner
    ) -> "Iterator[AddedMirrors]":
        """Prepare the repositories of recipes, each with a keyring of its own for gpgv."""
        from builder.distros.rpm.dnf import AddedMirrors

        own = {one.name for one in self.declaration.repositories}
        for one in asked.repositories:
            known = sources.repositories[one.name]
            if one.name in own:
                raise RecipeError(
                    f"`{one.name}` is a repository of {self.declaration.title}'s own",
                    at=known.url_at,
                    hint="give yours another name",
                )
            place = folder / "keys" / one.name
            place.mkdir(parents=True, exist_ok=True)
            text = pinned_keys(Keys(data=known.keys), place, run)
            yield AddedMirrors(one, sources.mirrors[one.name], text.encode())

    def _lock(
        self, folder: Path, asked: Asked, sources: ArchiveSources, run: Runner, keep: Lock | None
    ) -> Lock:
        """Keep what a lock has if that can be; ask the mirrors when what is here does not do."""
        from builder.distros.rpm.dnf import Dnf

        assert sources.keys is not None
        key = pinned_keys(sources.keys, folder, run)
        dnf = Dnf(folder, self.declaration, asked, tuple(self._added(asked, sources, folder, run)))
        if keep is not None and dnf.has_metadata:
            # What it lacks or cannot satisfy may have come since.
            with contextlib.suppress(RecipeError, UpstreamError):
                metadata = dnf.metadata()
                if self._releases(dnf, metadata, folder, run) == keep.releases:
                    return self._chosen(dnf, metadata, asked, keep, keep.releases)
        if str(folder) not in sources.fresh:
            with _pointing(sources):
                dnf.update(sources.mirrors[self.declaration.name], key)
            sources.fresh.add(str(folder))
        metadata = dnf.metadata()
        releases = self._releases(dnf, metadata, folder, run)
        try:
            return self._chosen(dnf, metadata, asked, keep, releases)
        except UnknownPackageError:
            raise
        except RecipeError:
            # Versions of the older lock may stand in the way.
            if keep is None:
                raise
            return self._chosen(dnf, metadata, asked, None, releases)

    def _releases(
        self, dnf: "Dnf", metadata: Mapping[str, "Metadata"], folder: Path, run: Runner
    ) -> tuple[Release, ...]:
        def release(name: str, archive: str, suite: str, signed_by: tuple[str, ...]) -> Release:
            revision = metadata[name].revision
            return Release(
                archive=archive,
                suite=suite,
                sha256=revision.sha256,
                date=revision.date,
                signed_by=signed_by,
            )

        found = [
            release(
                one.name,
                self.declaration.name,
                dnf.filled(one.path),
                self._signed_by(metadata[one.name].repomd, folder, run),
            )
            for one in dnf.repositories
        ]
        for name in dnf.added:
            if not (by := signers(metadata[name].repomd, folder / "keys" / name, run)):
                raise TrustError(f"the metadata of `{name}` has no good signature")
            found.append(release(name, name, "", by))
        return tuple(found)

    def _chosen(
        self,
        dnf: "Dnf",
        metadata: Mapping[str, "Metadata"],
        asked: Asked,
        keep: Lock | None,
        releases: tuple[Release, ...],
    ) -> Lock:
        dnf.without = tuple(_other_versions(keep.packages if keep else (), metadata.values()))
        packages = self._packages(dnf, metadata, asked)
        return Lock(
            recipe=digest_of(asked),
            asked=asked,
            epoch=max(one.revision.time for one in metadata.values()),
            releases=releases,
            packages=tuple(sorted(packages, key=lambda package: (package.name, package.version))),
        )

    def _packages(
        self, dnf: "Dnf", metadata: Mapping[str, "Metadata"], asked: Asked
    ) -> Iterator[Package]:
        """Choose the packages layer by layer; what a layer has got, the next one leaves alone."""
        paths = {one.name: f"{dnf.filled(one.path)}/" for one in dnf.repositories}
        hidden = set(dnf.added)
        unwanted: set[str] = set()
        there: list[RpmEntry] = []
        for layer in (AskedLayer(recipe=BASE, install=self.declaration.minimum), *asked.layers):
            hidden -= {one.name for one in layer.archives}
            check_words(layer, {one.name for one in there})
            unwanted |= {*layer.removals}
            if not layer.install:
                continue
            dnf.hidden = frozenset(hidden)
            dnf.unwanted = frozenset(unwanted)
            try:
                rows = dnf.install(layer.install, on=there, recommends=layer.recommends)
            except UnknownPackageError as error:
                raise self._unknown(error.name, metadata.values(), asked) from error
            for row in rows:
                entry = metadata[row.repository].entry(row.name, row.version, row.arch)
                if entry is None:
                    raise UpstreamError(f"the index has no {row.name} {row.version} of dnf's")
                there.append(entry)
                package = self._locked(
                    entry, f"{paths.get(row.repository, '')}{entry.location}", layer
                )
                yield structs.replace(
                    package,
                    archive=row.repository if row.repository in dnf.added else package.archive,
                    requested=package.requested or row.of_group,
                )

    def _locked(self, entry: "RpmEntry", place: str, layer: AskedLayer) -> Package:
        return described(
            Package(
                name=entry.name,
                version=entry.version,
                arch=entry.arch,
                size=entry.size,
                sha256=entry.sha256,
                archive=self.declaration.name,
                path=place,
                layer=layer.recipe,
                requested=any(is_meant(entry, word) for word in layer.install),
            )
        )

    def _signed_by(self, repomd: Path, folder: Path, run: Runner) -> tuple[str, ...]:
        """Tell whose signature the metadata has; raises TrustError when there must be one."""
        if not self.declaration.signed:
            return ()
        found = signers(repomd, folder, run)
        if not found:
            raise TrustError(f"the metadata of {self.declaration.title} has no good signature")
        return found

    def _unknown(
        self, name: str, metadata: "Iterable[Metadata]", asked: Asked
    ) -> UnknownPackageError:
        kind = "group" if name.startswith("@") else "package"
        known = (one.groups() if kind == "group" else one.names() for one in metadata)
        names = sorted({name for some in known for name in some})
        near = get_close_matches(name, names, n=3, cutoff=0.75)
        machine = MACHINES[asked.arch]
        return UnknownPackageError(
            name,
            f"there is no {kind} `{name}` in {self.declaration.title} {asked.suite} for {machine}",
            hint=f"did you mean {' or '.join(f'`{other}`' for other in near)}?"
            if near
            else f"searched: {', '.join(asked.components)}",
        )


@contextlib.contextmanager
def _pointing(sources: ArchiveSources) -> Iterator[None]:
    """Have an error about a repository of a recipe say where that asks for it."""
    try:
        yield
    except OvenError as error:
        for name, known in sources.repositories.items():
            if re.search(rf"""['" /]{re.escape(name)}['" /:]""", error.problem):
                with known.told():
                    raise
        raise


def _other_versions(
    kept: Iterable[Package], metadata: Collection["Metadata"]
) -> Iterator[tuple[str, str, str]]:
    """Name what stands beside packages that are to keep their version, if it is still to be had."""
    for package in kept:
        mine = (package.name, package.version, package.arch)
        there = {
            (entry.name, entry.version, entry.arch)
            for one in metadata
            for entry in one.entries(package.name)
        }
        if mine in there:
            yield from sorted(there - {mine})
