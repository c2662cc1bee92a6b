"""What the verbs that build have in common: a namespace, the settings, a store and tools."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from builder.cli.terminal.lines import reporter
from builder.distros import ArchiveSources, AskedPackageError
from builder.host.kernel.namespaces import enter_namespace
from builder.host.network.downloads import Net, use_proxy
from builder.host.places import Places
from builder.host.programs import on_host
from builder.model.lock import Asked, Lock
from builder.model.settings import Settings
from builder.recipes.load import load, load_settings
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.lock_files import LockFiles, lock_path
from builder.recipes.request import (
    asked_for,
    base_of,
    choose_arch,
    layers,
    located,
    mirror_settings,
    sources_of,
)
from builder.stages.resolve import resolve
from builder.stages.tarball import lock_on_tarball, lock_tarball, tarball_sources
from builder.stages.tools import Tools
from builder.store import Store


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a verb works, and with what."""

    places: Places
    settings: Settings
    tools: Tools


@contextlib.contextmanager
def open_workplace(
    *,
    explain: bool = False,
    secrets: Mapping[str, bytes] | None = None,
    jobs: int | None = None,
) -> Iterator[Workplace]:
    """Read the settings, become root of a namespace, open the store, and report until the end."""
    places = Places.of_user()
    settings = load_settings(places.settings)
    if settings.proxy:
        use_proxy(settings.proxy)
    enter_namespace()  # before the reporter starts its thread
    with reporter(explain=explain) as report:
        store = Store(places.cache)
        tools = Tools(
            store=store,
            run=on_host,
            net=Net(report),
            report=report,
            jobs=jobs or settings.jobs or os.cpu_count() or 1,
            secrets=secrets or {},
        )
        with store.in_use():  # until then nobody prunes what this one takes from it
            yield Workplace(places, settings, tools)


@dataclass(frozen=True, slots=True)
class Planned:
    """A recipe that has been read, and how its packages are found."""

    loaded: LoadedRecipe
    asked: Asked
    files: LockFiles
    sources: ArchiveSources
    tools: Tools

    def resolve(self, keep: Lock | None = None) -> Lock:
        """Ask the archive; an error about a package says where the recipe asks for it.

        What `keep` has chosen stays, as far as that is possible.
        """
        lowest = layers(self.loaded)[0]
        tarball = self.asked.tarball
        if tarball and not (self.asked.known and self.asked.changes_packages):
            return lock_tarball(self.asked, tarball, lowest, self.tools)
        try:
            if tarball:
                return lock_on_tarball(self.asked, self.sources, lowest, self.tools, keep)
            return resolve(self.asked, self.sources, self.tools, keep)
        except AskedPackageError as error:
            raise located(error, self.loaded) from error

    def next_mirror(self, archive: str) -> "Planned":
        """Put the mirror of an archive that was asked first last."""
        mirrors = dict(self.sources.mirrors)
        first, *others = mirrors.get(archive, ("",))
        mirrors[archive] = (*others, first)
        return replace(self, sources=replace(self.sources, mirrors=mirrors))


def plan(name: str, arch: str | None, work: Workplace) -> Planned:
    """Find and read a recipe, and find the mirrors of its distribution."""
    return plan_of(load(name), arch, work)


def plan_of(loaded: LoadedRecipe, arch: str | None, work: Workplace) -> Planned:
    """Find the mirrors of a recipe's distribution."""
    asked = asked_for(loaded, choose_arch(loaded, arch))
    settings, cache = mirror_settings(work.settings), work.places.cache
    committed = lock_path(loaded.lock, asked.arch, base_of(loaded).arch)
    return Planned(
        loaded=loaded,
        asked=asked,
        files=LockFiles(name=loaded.name, committed=committed, cache=cache),
        sources=sources_of(loaded, asked, settings, cache)
        if asked.known
        else tarball_sources(cache),
        tools=work.tools,
    )
