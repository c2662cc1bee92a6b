"""Resolving for a recipe that has a lock: what it has stays, where the archive allows."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from builder.distros import ArchiveSources, UnknownPackageError
from builder.distros.debian.archive.indexes import Index
from builder.distros.debian.archive.pockets import find_pockets
from builder.distros.debian.family import DEBIAN
from builder.model.lock import Lock
from builder.stages.resolve import resolve
from builder.stages.tools import Tools
from tests.support.needs import needs
from tests.support.packages.archive import EPOCH, Mirror
from tests.support.packages.resolving import asked

pytestmark = needs("program:apt-ftparchive", "program:dpkg-deb", "program:gpg", "program:gpgv")


def older(lock: Lock, sources: ArchiveSources, name: str, version: str) -> Lock:
    """Give a lock that has another version of a package."""
    (lists,) = sources.cache.glob("apt/*/var/lib/apt/lists")
    index = Index(find_pockets(lists, DEBIAN.pockets("bookworm", "amd64")))
    layer, requested = next((p.layer, p.requested) for p in lock.packages if p.name == name)
    other = index.package(name, version, layer, requested=requested)
    packages = tuple(other if p.name == name else p for p in lock.packages)
    return msgspec.structs.replace(lock, packages=packages, epoch=7)


def versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_a_lock_is_extended_without_asking(
    sources: ArchiveSources, mirror: Mirror, tools: Tools
) -> None:
    lock = resolve(asked("tzdata", appliance=("exim",)), sources, tools)
    old = older(older(lock, sources, "tzdata", "2024a"), sources, "libtiny", "1.0")
    mirror.requests.clear()
    new = resolve(asked("tzdata", "cron", appliance=("exim",)), sources, tools, old)
    assert mirror.requests == []
    assert versions(new) == {**versions(old), "cron": "1.0"}
    assert {p for p in new.packages if p.name != "cron"} == set(old.packages)
    assert (new.epoch, new.releases) == (7, old.releases)


def test_a_lock_is_extended_where_its_indexes_are_not(
    sources: ArchiveSources, mirror: Mirror, tools: Tools, tmp_path: Path
) -> None:
    old = older(resolve(asked("tzdata"), sources, tools), sources, "tzdata", "2024a")
    elsewhere = dataclasses.replace(sources, cache=tmp_path / "elsewhere")
    new = resolve(asked("tzdata", "cron"), elsewhere, tools, old)
    assert versions(new) == {**versions(old), "cron": "1.0"}
    assert new.epoch == 7
    assert versions(resolve(asked("tzdata", "cron"), elsewhere, tools))["tzdata"] == "2024b"


def test_what_the_index_has_no_more_gets_a_new_version(
    sources: ArchiveSources, tools: Tools
) -> None:
    lock = resolve(asked("tzdata"), sources, tools)
    gone = msgspec.structs.replace(
        next(p for p in lock.packages if p.name == "tzdata"), version="2023z", sha256="9" * 64
    )
    others = older(lock, sources, "libtiny", "1.0").packages
    old = msgspec.structs.replace(
        lock, packages=tuple(gone if p.name == "tzdata" else p for p in others), epoch=7
    )
    new = resolve(asked("tzdata", "cron"), sources, tools, old)
    assert versions(new) == {**versions(old), "tzdata": "2024b", "cron": "1.0"}
    assert new.epoch == EPOCH


def test_locked_versions_do_not_stand_in_the_way(sources: ArchiveSources, tools: Tools) -> None:
    old = older(resolve(asked("web"), sources, tools), sources, "libtiny", "1.0")
    new = resolve(asked("web", "needy"), sources, tools, old)
    assert versions(new)["libtiny"] == "1.1~u1"
    assert new == resolve(asked("web", "needy"), sources, tools)


def test_a_lock_for_something_else_is_not_kept(sources: ArchiveSources, tools: Tools) -> None:
    old = older(resolve(asked("tzdata"), sources, tools), sources, "tzdata", "2024a")
    elsewhere = msgspec.structs.replace(old.asked, components=("main", "contrib"))
    old = msgspec.structs.replace(old, asked=elsewhere)
    assert versions(resolve(asked("tzdata"), sources, tools, old))["tzdata"] == "2024b"


def test_a_misspelt_name_is_told_with_a_lock_too(sources: ArchiveSources, tools: Tools) -> None:
    old = resolve(asked("web"), sources, tools)
    with pytest.raises(UnknownPackageError, match="no package `libwep` in Debian"):
        resolve(asked("web", "libwep"), sources, tools, old)
