"""Kitchens: where packages are installed, whatever the distribution."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from builder.distros.keys import Keys
from builder.host.overlayfs import stand_ins
from builder.host.overlayfs.fold import overlay
from builder.host.sandbox.sandbox import HOSTNAME, Inside, Sandbox, SandboxBind, inside
from builder.model.errors import StageError
from builder.model.extras import ALL, Extras
from builder.model.lock import Package
from builder.model.recipe import Arch
from builder.store import Store
from builder.store.damage import checked_blob

# A tree of the store is the lower folder of an overlay mount and never changes; what is done to it
# lands in the upper one. All of it lies in a draft, so that a step that fails leaves nothing.

PACKAGES = "/run/oven/packages"
"""Where a sandbox shows package files."""

_KINDS = ("deb", "udeb", "rpm")
"""How the names of package files end; beside them lie the settings of what installs them."""

STAND_INS: Mapping[str, bytes] = {
    # libc6 would have init start anew and wait for a second; a sandbox is no chroot to ischroot(1).
    "usr/bin/ischroot": b"#!/bin/sh\n" + stand_ins.MARK + b"exit 0\n",
    # invoke-rc.d(8): 101 means that policy forbids to start a service.
    "usr/sbin/policy-rc.d": b"#!/bin/sh\n" + stand_ins.MARK + b"exit 101\n",
    # Maintainer scripts, such as postfix's, fail when the host has no name that can be resolved.
    # They write it into what they configure; this one is true of every machine.
    "etc/hostname": f"{HOSTNAME}\n".encode(),
    "etc/hosts": stand_ins.MARK
    + b"127.0.0.1 localhost.localdomain localhost\n::1 localhost.localdomain localhost\n",
}
"""Files that are seen while a tree is worked on, and are no part of it."""


@dataclass(frozen=True, slots=True)
class Kitchen:
    """What packages are installed with, and on."""

    draft: Path
    """A folder that the store has lent; everything that is made lies in it."""
    store: Store
    arch: str
    suite: str
    epoch: int
    """Seconds since 1970, for programs that honor SOURCE_DATE_EPOCH."""
    base: Path | None = None
    """The tree to install on, which must not change; None: from nothing."""
    driver: str = "native"
    """What makes a tree from nothing: a key of `Sources.programs`."""
    jobs: int = 1
    """How many things may be done at once."""
    keys: Keys | None = None
    """What a tree from nothing is to trust; later ones have it in the tree."""
    added: Mapping[str, bytes] = field(default_factory=dict)
    """For each repository of a recipe what its package files must be signed with."""
    removed: tuple[str, ...] = ()
    """Packages of the base that go."""
    extras: Extras = ALL
    """What a tree from nothing, and all that is installed on it later, has of its packages."""

    @property
    def tree(self) -> Path:
        """The tree in the making, when there is no base."""
        return self.draft / "tree"

    @property
    def upper(self) -> Path:
        """What comes over the base, as overlayfs writes it."""
        return self.draft / "upper"


_NOTHING: Mapping[str, bytes] = {}


@contextmanager
def opened(
    lower: Path, kitchen: Kitchen, *binds: SandboxBind, hidden: Mapping[str, bytes] = _NOTHING
) -> Iterator[tuple[Path, Inside]]:
    """Show a tree with `kitchen.upper` on top of it; give the view and a way to run things in it.

    It may be opened several times, one after the other: what was there stays in the upper folder.
    """
    draft, view = kitchen.draft, kitchen.draft / "view"
    over = draft / "over"
    if not over.exists():
        stand_ins.lay(lower, over, STAND_INS)
    arch, epoch = Arch(kitchen.arch), kitchen.epoch
    sandbox = Sandbox(root=view, binds=binds, epoch=epoch, arch=arch, hidden=hidden)
    with overlay(lower, kitchen.upper, draft / "work", view, over=over):
        yield view, inside(sandbox)
    stand_ins.take_out(lower, kitchen.upper, STAND_INS)


def lay_out(packages: tuple[Package, ...], kitchen: Kitchen) -> SandboxBind:
    """Link package files into a folder under the names that the archive gives them.

    Gives the bind that shows the folder as `PACKAGES`; further files may be put there.
    """
    folder = kitchen.draft / "packages"
    folder.mkdir()
    for package in packages:
        blob = checked_blob(kitchen.store, package.sha256)
        if blob is None:
            raise StageError(
                f"the package file of `{package.name}` is no longer in the store",
                hint="run the same command again",
            )
        name = Path(package.path).name
        if name.rpartition(".")[2] not in _KINDS or (folder / name).exists():
            raise StageError(
                f"the file of the package `{package.name}` is called `{name}`,"
                " like another one or like none",
                hint="the index of the archive is broken or forged",
            )
        os.link(blob, folder / name)
    return SandboxBind(folder, PACKAGES)
