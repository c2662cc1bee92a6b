"""What differs between distributions of the RPM family, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.model.recipe import Arch

MAIN = "main"
"""The component that every recipe has: the repositories of an ordinary installation."""

MACHINES: Mapping[Arch, str] = {
    Arch.AMD64: "x86_64",
    Arch.ARM64: "aarch64",
    Arch.PPC64EL: "ppc64le",
    Arch.RISCV64: "riscv64",
    Arch.S390X: "s390x",
}
"""How RPM calls the architectures that it is used on today."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository; `{suite}` and `{machine}` in its texts are filled in."""

    name: str
    path: str
    """Below the archive's root."""
    metalink: str = ""
    """Where the distribution vouches, over https, for what mirrors have; for archives whose
    metadata is not signed."""
    component: str = MAIN
    """What `base.components` has to name for it to be used."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A release."""

    keys: Mapping[str, tuple[str, ...]]
    """Fingerprints of the keys that sign its packages, each with the file names under which
    key packages have it."""
    database: str = "/usr/lib/sysimage/rpm"
    """Where its rpm keeps its database."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A distribution."""

    name: str
    """As recipes call it; its archive has the same name."""
    title: str
    """As people call it."""
    mirror: str
    """Where its archive is, unless somebody sets another mirror."""
    machines: tuple[Arch, ...]
    repositories: tuple[Repository, ...]
    suites: Mapping[str, Suite]
    minimum: tuple[str, ...]
    """What belongs in its smallest system: enough to install more, and to make accounts."""
    signed: bool
    """Whether `repomd.xml` is signed with the key that signs packages. Where it is not, packages
    are still verified, but which of them there are is only as sure as the way to the mirror."""
    module_platform: str = ""
    """What modules are made for, such as `platform:el{suite}`; empty where there are none."""
    components: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        known = dict.fromkeys(one.component for one in self.repositories)
        object.__setattr__(self, "components", tuple(known))


MINIMUM = (
    "basesystem",
    "bash",
    "ca-certificates",
    "coreutils",
    "dnf",
    "filesystem",
    "glibc-minimal-langpack",
    "rpm",
    "setup",
    "shadow-utils",
    "tzdata",
)
"""Shared by all of the family; each adds the package that says which release it is."""
