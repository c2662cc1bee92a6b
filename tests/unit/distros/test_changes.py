"""What differs between two locks is told by name, kind and order of versions."""

import subprocess
from collections.abc import Callable

import msgspec
import pytest

from builder.cli.building.changes import summary, table
from builder.distros.changes import Changes, changes, is_security
from builder.distros.versions import DebianOrder, RpmOrder, order_of, unknown_order
from builder.host.programs import Command, Done, on_host
from builder.model.lock import Lock, Package
from builder.model.value import digest_of
from tests.support.builds.locks import ASKED, lock
from tests.support.needs import needs

replace = msgspec.structs.replace
debian_order = DebianOrder(on_host)


def package(name: str, version: str, **more: object) -> Package:
    """Make a package whose bytes are those of its name, version and architecture."""
    made = replace(lock().packages[0], name=name, version=version, requested=False, **more)
    return replace(made, sha256=digest_of([name, version, made.arch]).removeprefix("sha256:"))


def locked(*packages: Package) -> Lock:
    return replace(lock(), packages=packages)


def compare(old: Lock, new: Lock) -> Changes:
    return changes(old, new, debian_order)


def kinds(found: Changes) -> list[tuple[str, str, str | None, str | None]]:
    return [(one.kind, one.name, one.old, one.new) for one in found.packages]


def test_each_kind_of_change() -> None:
    old = locked(
        package("gone", "1"), package("same", "1"), package("up", "1.9"), package("down", "1:1")
    )
    new = locked(
        package("new", "1"), package("same", "1"), package("up", "1.10"), package("down", "9")
    )
    assert kinds(compare(old, new)) == [
        ("downgraded", "down", "1:1", "9"),
        ("removed", "gone", "1", None),
        ("added", "new", None, "1"),
        ("upgraded", "up", "1.9", "1.10"),
    ]
    assert compare(old, new).counts() == {"downgraded": 1, "removed": 1, "added": 1, "upgraded": 1}


def test_equal_locks_have_no_changes() -> None:
    found = compare(locked(package("a", "1")), locked(package("a", "1")))
    assert found == Changes()
    assert not found.matter
    assert summary(found) == "no package changes"


def test_other_bytes_of_the_same_version_are_a_change() -> None:
    old = locked(package("a", "1"))
    new = locked(replace(old.packages[0], sha256="f" * 64))
    assert kinds(compare(old, new)) == [("changed", "a", "1", "1")]


def test_another_place_of_the_same_bytes_is_none() -> None:
    old = locked(package("a", "1", archive="debian-security"))
    assert compare(old, locked(replace(old.packages[0], archive="debian", path="x.deb"))) == (
        Changes()
    )
    assert kinds(compare(old, locked(replace(old.packages[0], layer="web")))) == [
        ("moved", "a", "1", "1")
    ]


def test_an_order_that_nobody_knows_is_a_change() -> None:
    found = changes(locked(package("a", "1")), locked(package("a", "2")), unknown_order)
    assert kinds(found) == [("changed", "a", "1", "2")]


def test_architectures_of_one_name_are_told_apart() -> None:
    old = locked(package("a", "1"), package("a", "1", arch="i386"))
    new = locked(package("a", "2"), package("a", "1", arch="i386"))
    assert kinds(compare(old, new)) == [("upgraded", "a", "1", "2")]
    both = locked(package("a", "2"), package("a", "2", arch="i386"))
    assert [one.arch for one in compare(old, both).packages] == ["amd64", "i386"]
    to_all = locked(package("b", "2", arch="all"))
    (one,) = compare(locked(package("b", "1")), to_all).packages
    assert (one.kind, one.arch) == ("upgraded", "all")


def test_several_versions_of_one_name() -> None:
    old = locked(package("kernel", "1"), package("kernel", "2"))
    new = locked(package("kernel", "2"), package("kernel", "3"))
    assert kinds(compare(old, new)) == [("upgraded", "kernel", "1", "3")]


def test_what_comes_from_security_is_marked() -> None:
    old = locked(package("a", "1"), package("b", "1", archive="debian-security"))
    new = locked(package("a", "2", archive="debian-security"))
    marks = {one.name: one.security for one in compare(old, new).packages}
    assert marks == {"a": True, "b": False}
    assert summary(compare(old, new)) == "1 removed, 1 upgraded, 1 from security"


@pytest.mark.parametrize(
    ("archive", "security"),
    [
        ("debian-security", True),
        ("ubuntu-security", True),
        ("debian", False),
        ("insecurity", False),
    ],
)
def test_archives_of_security(archive: str, security: bool) -> None:
    assert is_security(archive) is security


def test_a_newer_index_is_told_and_does_not_matter() -> None:
    old = lock()
    newer = replace(old.releases[0], sha256="2" * 64, date="Sun, 02 Jun 2024 12:00:00 UTC")
    found = compare(old, replace(old, releases=(newer,)))
    assert [(one.old, one.new) for one in found.releases] == [(old.releases[0].date, newer.date)]
    assert not found.matter


def test_a_changed_recipe_matters() -> None:
    other = replace(ASKED, suite="trixie")
    found = compare(lock(), lock(other))
    assert found.keys == ("base.suite",)
    assert found.matter
    assert "the recipe changed (`base.suite`)" in summary(found)


def test_the_table_is_aligned() -> None:
    old = locked(package("a", "1"), package("long-name", "1.0"))
    new = locked(package("a", "2", archive="debian-security"), package("b", "1:2.3", layer="web"))
    assert list(table(compare(old, new))) == [
        "  upgraded  a:amd64          1    -> 2      security, in base",
        "  added     b:amd64          none -> 1:2.3  in web",
        "  removed   long-name:amd64  1.0  -> none   in base",
    ]


def test_json_says_from_and_to() -> None:
    found = compare(locked(package("a", "1")), locked(package("a", "2")))
    row = msgspec.to_builtins(found)["packages"][0]
    assert (row["from"], row["to"], row["kind"]) == ("1", "2", "upgraded")


VERSIONS = (
    "0", "0~", "1", "1+", "1-1", "1-1~deb12u1", "1-1+b1", "1-10", "1-9", "1.0", "1.00", "1.0~rc1",
    "1.0a", "1.0+dfsg-1", "1:0.1", "0:1", "2.0.0", "10", "9", "1.2.3-4ubuntu5.1", "1.2.3-4ubuntu5",
)  # fmt: skip


@needs("program:dpkg")
def test_versions_are_ordered_as_dpkg_does() -> None:
    for one in VERSIONS:
        for other in VERSIONS[::3]:
            sign = debian_order(one, other)
            assert sign is not None
            for relation, holds in (("lt", sign < 0), ("eq", sign == 0), ("gt", sign > 0)):
                argv = ["dpkg", "--compare-versions", one, relation, other]
                assert (subprocess.run(argv).returncode == 0) is holds, argv


@needs("program:rpm")
@pytest.mark.parametrize(
    ("old", "new"),
    [("1.0-2", "1.0-10"), ("1.0~rc1-1", "1.0-1"), ("2.0-1", "1:1.0-1"), ("1-1", "1^git1-1")],
)
def test_versions_are_ordered_as_rpm_does(old: str, new: str) -> None:
    found = locked(package("a", old, path="a.rpm")), locked(package("a", new, path="a.rpm"))
    for one, other, kind in ((0, 1, "upgraded"), (1, 0, "downgraded")):
        order = order_of(found[other], on_host)
        assert [one.kind for one in changes(found[one], found[other], order).packages] == [kind]


def test_nothing_of_a_lock_is_run() -> None:
    def refuse(command: Command, /) -> Done:
        raise AssertionError(command)

    run: Callable[[Command], Done] = refuse
    assert RpmOrder(run)('1"))} %(touch /tmp/x)', "1") is None
    assert debian_order("not a version", "1") is None
