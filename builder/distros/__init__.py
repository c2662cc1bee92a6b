"""Distributions: what Oven must know to turn an asking into a lock, and a lock into a tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.host.process import Runner
from builder.model.errors import RecipeError
from builder.model.lock import Asked, Lock
from builder.model.value import Value


class MirrorSettings(Value, frozen=True, kw_only=True):
    """What a user's settings say about where packages come from."""

    mirrors: dict[str, tuple[str, ...]] = {}
    """For an archive such as `debian` or `debian-security`, its mirrors in order of preference."""
    keyrings: dict[str, str] = {}
    """For a distribution, the file of keys that its archives must be signed with."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where packages come from on this machine; nothing of it gets into a lock."""

    mirrors: Mapping[str, tuple[str, ...]]
    """For every archive of the distribution its mirrors, in the order in which they are tried."""
    keyring: Path
    cache: Path
    """Where indexes may be kept, so that they are not downloaded twice."""


class UnknownPackageError(RecipeError):
    """A recipe asks for a package that no index has; `name` is what it says."""

    def __init__(self, name: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.name = name


class Distro(Protocol):
    """A distribution, or a family of them."""

    def sources(self, settings: MirrorSettings, cache: Path) -> Sources:
        """Find the mirrors and the keys on this machine."""

    def resolve(self, asked: Asked, sources: Sources, run: Runner) -> Lock:
        """Decide which packages an asking means now, from signed indexes only."""


def distro(name: str) -> Distro:
    """Give a distribution by its name in recipes; raises RecipeError for an unknown one."""
    # Modules are imported here so that a command that needs no distribution does not pay for any.
    if name == "debian":
        from builder.distros.debian import Debian

        return Debian()
    raise RecipeError(f"unknown distribution `{name}`", hint="there is: debian")
