"""Orders: a recipe, for one architecture, with its lock: all that a build is told."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.distros import (
    ArchiveSources,
    AskedPackageError,
    MirrorSettings,
    distro,
    with_repositories,
)
from builder.host.sandbox import binfmt
from builder.model.errors import RecipeError, Span
from builder.model.extras import Extras
from builder.model.lock import Asked, AskedLayer, Lock
from builder.model.recipe import TARBALL, Arch, Base, Probe
from builder.model.settings import Settings
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.repositories import asked_repositories, repository_sources


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build."""

    loaded: LoadedRecipe
    arch: Arch
    lock: Lock

    @property
    def name(self) -> str:
        """The template's name."""
        return self.loaded.name

    @property
    def slot(self) -> str:
        """Where this build's stages remember what they were last made of."""
        return f"{self.name}/{self.arch}"


def layers(loaded: LoadedRecipe) -> tuple[LoadedRecipe, ...]:
    """Give the recipes whose work is laid on the base, in order: the lowest comes first."""
    return (loaded,) if loaded.base is None else (*layers(loaded.base), loaded)


def base_of(loaded: LoadedRecipe) -> Base:
    """Give the base that a recipe, or what it stands on, names.

    Of a tarball it need not be said: then its recipe's name stands for the suite.
    """
    lowest = layers(loaded)[0]
    base = lowest.recipe.base or Base(distro=TARBALL, suite=lowest.name)
    arches = tuple(lowest.recipe.tarball)
    return msgspec.structs.replace(base, arch=arches) if arches else base


def probe_of(loaded: LoadedRecipe) -> Probe:
    """Give how a template is tried: what its recipe says, else what those below it say."""
    found = Probe()
    for layer in layers(loaded):
        said = layer.recipe.probe
        found = Probe(
            network=found.network if said.network is None else said.network,
            timeout=said.timeout or found.timeout,
            may_fail=tuple(dict.fromkeys((*found.may_fail, *said.may_fail))),
            skip=found.skip if said.skip is None else said.skip,
        )
    return found


def extras_of(loaded: LoadedRecipe) -> Extras:
    """Give what of packages comes along: the highest recipe that says something decides."""
    documentation, languages = True, None
    for layer in layers(loaded):
        said = layer.recipe.packages
        documentation = documentation if said.documentation is None else said.documentation
        languages = languages if said.languages is None else said.languages
    return Extras(
        documentation=documentation,
        languages=None if languages is None else tuple(sorted(languages)),
    )


def probe_place(loaded: LoadedRecipe, key: str) -> Span | None:
    """Give the place of what counts of a key of `[probe]`, where a recipe says anything."""
    for layer in reversed(layers(loaded)):
        if getattr(layer.recipe.probe, key):
            return layer.source.value("probe", key)
    return None


def choose_arch(loaded: LoadedRecipe, wanted: str | None) -> Arch:
    """Take the wanted architecture, else the host's; it must be one that the recipe names."""
    offered = base_of(loaded).arch
    arch = wanted or binfmt.host_arch()
    if arch not in offered:
        name = layers(loaded)[0].name
        raise RecipeError(
            f"`{name}` is not made for `{arch}`",
            at=_arch_place(layers(loaded)[0]),
            hint=f"it is made for: {', '.join(offered)}",
        )
    return Arch(arch)


def _arch_place(lowest: LoadedRecipe) -> Span:
    if lowest.recipe.tarball:
        return lowest.source.key("tarball")
    return lowest.source.value("base", "arch")


def asked_for(loaded: LoadedRecipe, arch: Arch) -> Asked:
    """Give the part of a recipe that decides which packages are locked."""
    base = base_of(loaded)
    return Asked(
        distro=base.distro,
        suite=base.suite,
        arch=arch,
        components=base.components,
        layers=tuple(
            AskedLayer(
                recipe=layer.name,
                install=layer.recipe.packages.install,
                recommends=layer.recipe.packages.recommends,
                remove=layer.recipe.packages.remove or msgspec.UNSET,
                repositories=asked_repositories(layer, arch) or msgspec.UNSET,
            )
            for layer in layers(loaded)
        ),
        tarball=layers(loaded)[0].recipe.tarball.get(arch),
    )


def sources_of(
    loaded: LoadedRecipe, asked: Asked, settings: MirrorSettings, cache: Path
) -> ArchiveSources:
    """Find the archives of a recipe's distribution, and those that the recipes add."""
    sources = distro(asked.distro).sources(asked, settings, cache)
    added = repository_sources(layers(loaded), asked.arch)
    return with_repositories(sources, asked, settings, added) if added else sources


def located(error: AskedPackageError, loaded: LoadedRecipe) -> RecipeError:
    """Say where the packages that cannot be had are asked for."""
    for layer in reversed(layers(loaded)):
        packages = layer.recipe.packages
        for key, asked in (("install", packages.install), ("remove", packages.remove)):
            for word in error.words:
                if word in asked:
                    at = layer.source.value("packages", key, asked.index(word))
                    return RecipeError(error.problem, at=at, hint=error.hint)
    return error


def mirror_settings(settings: Settings) -> MirrorSettings:
    """Give what the user's settings say about mirrors and keys, as distributions take it."""
    return MirrorSettings(
        mirrors={name: one.mirrors for name, one in settings.archive.items() if one.mirrors},
        keyrings={name: one.keyring for name, one in settings.archive.items() if one.keyring},
    )
