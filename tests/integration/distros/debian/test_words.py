"""What a recipe may say of one package: versions, pockets, tasks, architectures, removals."""

from pathlib import Path

import pytest

from builder.distros import ArchiveSources, AskedPackageError, MirrorSettings, distro
from builder.model.lock import Asked, AskedLayer, Lock, Package, Removal
from builder.model.recipe import Arch
from builder.stages.resolve import resolve
from builder.stages.tools import Tools
from tests.support.needs import needs
from tests.support.packages.archive import PACKAGES, Archive, Deb, Layout
from tests.support.packages.resolving import later

pytestmark = needs("program:apt-ftparchive", "program:dpkg-deb", "program:gpg", "program:gpgv")

BACK = "bookworm-backports"
MORE = (
    Deb("server", "", "1.22.1-9"),
    Deb("server", "", "1.22.1-9+deb12u1", suite="bookworm-security"),
    Deb("server", "Depends: libserver (>= 1.26), cron", "1.26.0-1~bpo12+1", suite=BACK),
    Deb("libserver", "Depends: libdeep (= 3) | nothing", "1.26", suite=BACK),
    Deb("libserver", "", "1.22"),
    Deb("libdeep", "", "2"),
    Deb("libdeep", "", "3", suite=BACK),
    Deb("cron", "", "2.0", suite=BACK),
    Deb("libboth", "Multi-Arch: same\nDepends: libdeep", arch="amd64"),
    Deb("libboth", "Multi-Arch: same\nDepends: libtwin", arch="i386"),
    Deb("libtwin", "Multi-Arch: same", arch="amd64"),
    Deb("libtwin", "Multi-Arch: same", arch="i386"),
    Deb("shop", "Task: web-shop, other"),
    Deb("till", "Task: web-shop"),
    Deb("shopper", "Task: web-shopper"),
    Deb("task-office", "Depends: docs-of-office"),
    Deb("docs-of-office"),
    Deb("heavy", "Recommends: nagging"),
    Deb("nagging"),
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    return Archive.make(folder, (*PACKAGES, *MORE), Layout.with_backports())


def asked(*install: str, above: AskedLayer | None = None) -> Asked:
    own = AskedLayer(recipe="template", install=install)
    return Asked(
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        components=("main",),
        layers=(own, above) if above else (own,),
    )


def found(lock: Lock) -> dict[str, str]:
    """Give the versions of what is on top of the base."""
    return {one.name: one.version for one in lock.packages if one.layer != "base"}


@pytest.mark.parametrize(
    ("word", "version"),
    [
        ("server", "1.22.1-9+deb12u1"),
        ("server=1.22.1-9", "1.22.1-9"),
        ("server=1.22*", "1.22.1-9+deb12u1"),
        ("server=*-9", "1.22.1-9"),
        ("server/bookworm", "1.22.1-9"),
        ("server/bookworm-security", "1.22.1-9+deb12u1"),
    ],
)
def test_a_version(sources: ArchiveSources, tools: Tools, word: str, version: str) -> None:
    lock = resolve(asked(word), sources, tools)
    assert found(lock) == {"server": version}
    assert {one.name for one in lock.packages if one.requested} >= {"server"}


def test_a_pocket_gives_what_is_asked_of_it_and_what_that_needs(
    sources: ArchiveSources, tools: Tools
) -> None:
    lock = resolve(asked(f"server/{BACK}"), sources, tools)
    assert found(lock) == {
        "server": "1.26.0-1~bpo12+1",
        "libserver": "1.26",
        "libdeep": "3",
        "cron": "1.0",  # that of the suite will do
    }
    assert [one.name for one in lock.packages if one.requested and one.layer != "base"] == [
        "server"
    ]
    assert ("debian", BACK) in [(one.archive, one.suite) for one in lock.releases]
    assert resolve(asked("cron"), sources, tools).releases == lock.releases[:3]


def test_a_layer_below_sees_nothing_of_a_pocket(sources: ArchiveSources, tools: Tools) -> None:
    above = AskedLayer(recipe="above", install=(f"libdeep/{BACK}",))
    lock = resolve(asked("cron", above=above), sources, tools)
    assert found(lock) == {"cron": "1.0", "libdeep": "3"}


def test_a_locked_version_stays_where_it_fits(sources: ArchiveSources, tools: Tools) -> None:
    old = resolve(asked("server=1.22.1-9"), sources, tools)
    assert found(resolve(asked("server=1.22*", "cron"), sources, tools, old)) == {
        "server": "1.22.1-9",
        "cron": "1.0",
    }
    again = resolve(asked("server=*u1"), later(sources), tools, old)
    assert found(again) == {"server": "1.22.1-9+deb12u1"}


def test_tasks(sources: ArchiveSources, tools: Tools) -> None:
    lock = resolve(asked("web-shop^", "task-office^"), sources, tools)
    assert {*found(lock)} == {"shop", "till", "task-office", "docs-of-office"}
    requested = {one.name for one in lock.packages if one.requested and one.layer != "base"}
    assert requested == {"shop", "till", "task-office"}


def test_a_foreign_architecture_beside_the_own(sources: ArchiveSources, tools: Tools) -> None:
    lock = resolve(asked("libboth", "libboth:i386"), sources, tools)
    rows = [(one.name, one.arch, one.requested) for one in lock.packages if one.layer != "base"]
    assert rows == [
        ("libboth", "amd64", True),
        ("libboth", "i386", True),
        ("libdeep", "all", False),
        ("libtwin", "i386", False),
    ]
    plain = resolve(asked("libboth"), sources, tools)
    assert [one for one in plain.packages if one.layer == "base"] == [
        one for one in lock.packages if one.layer == "base"
    ]
    more = resolve(asked("libboth", "libboth:i386", "cron"), sources, tools, lock)
    assert {*more.packages} - {*lock.packages} == {
        one for one in more.packages if one.name == "cron"
    }


def test_what_is_not_wanted_does_not_come(sources: ArchiveSources, tools: Tools) -> None:
    heavy = AskedLayer(recipe="above", install=("heavy",), recommends=True, remove=("nagging",))
    lock = resolve(asked("cron", above=heavy), sources, tools)
    assert found(lock) == {"cron": "1.0", "heavy": "1.0"}
    assert not lock.removed


def test_a_layer_takes_away_what_one_below_has(sources: ArchiveSources, tools: Tools) -> None:
    above = AskedLayer(recipe="above", install=("postfix",), remove=("exim",))
    lock = resolve(asked("exim", above=above), sources, tools)
    assert lock.removed == (Removal(name="exim", arch="all", layer="above"),)
    assert found(lock) == {"exim": "1.0", "postfix": "1.0"}
    extended = AskedLayer(recipe="above", install=("postfix", "cron"), remove=("exim",))
    more = resolve(asked("exim", above=extended), sources, tools, lock)
    assert (more.removed, found(more)) == (lock.removed, {**found(lock), "cron": "1.0"})
    top = AskedLayer(recipe="top", install=("tzdata",))
    whole = asked("exim", above=above)
    whole = Asked(
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        components=("main",),
        layers=(*whole.layers, top),
    )
    again = resolve(whole, sources, tools, lock)
    assert (again.removed, found(again)) == (lock.removed, {**found(lock), "tzdata": "2024b"})


@pytest.mark.parametrize(
    ("words", "problem", "blamed", "hint"),
    [
        (["server=1.23*"], "no version `1.23*` of `server`", "server=1.23*", "`1.22.1-9`"),
        (["server/bookwrm"], "`bookwrm` is no part of Debian", "server/bookwrm", "bookworm, "),
        (["exim/bookworm-updates"], "`bookworm-updates` has no package `exim`", None, "`1.0`"),
        (["libboth:i387"], "have nothing for `i387`", "libboth:i387", "amd64"),
        (["apt:i386"], "no package `apt` for `i386`", "apt:i386", "template's own"),
        (["web-shoppe^"], "no task `web-shoppe`", "web-shoppe^", "searched"),
        (["cron-"], "no package `cron-`", "cron-", '`remove = ["cron"]`'),
        (["mail-agent"], "several stand in for it", "mail-agent", "`exim`, `postfix`"),
        (["tzdata", "exim", "postfix"], "beside each other", "postfix", "take one of them out"),
        (["tzdata", "torn"], "cannot install `torn`:", "torn", None),
    ],
)
def test_what_cannot_be_had(
    sources: ArchiveSources,
    tools: Tools,
    words: list[str],
    problem: str,
    blamed: str | None,
    hint: str | None,
) -> None:
    with pytest.raises(AskedPackageError) as caught:
        resolve(asked(*words), sources, tools)
    assert problem in caught.value.problem
    assert caught.value.words[0] == (blamed or words[0])
    assert (hint or "") in (caught.value.hint or "")


def test_what_would_go_unasked_is_refused(sources: ArchiveSources, tools: Tools) -> None:
    above = AskedLayer(recipe="above", install=("postfix",))
    with pytest.raises(AskedPackageError, match="beside `exim`") as caught:
        resolve(asked("exim", above=above), sources, tools)
    assert '`remove = ["exim"]`' in (caught.value.hint or "")
    above = AskedLayer(recipe="above", remove=("libweb",))
    with pytest.raises(AskedPackageError, match="without `libweb` there cannot be `web`") as caught:
        resolve(asked("web", above=above), sources, tools)
    assert '`remove = ["libweb", "web"]`' in (caught.value.hint or "")


@needs("archive")
def test_real_backports(tools: Tools, tmp_path: Path) -> None:
    """A program of many parts, which need one another in that very version."""
    whole = asked(f"cockpit/{BACK}")
    lock = resolve(whole, distro("debian").sources(whole, MirrorSettings(), tmp_path), tools)
    rows: dict[tuple[str, str], Package] = {(one.name, one.arch): one for one in lock.packages}
    assert "~bpo12" in rows["cockpit", "all"].version
    assert rows["cockpit-ws", "amd64"].version == rows["cockpit", "all"].version
    assert "~bpo" not in rows["systemd", "amd64"].version
