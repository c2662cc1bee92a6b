"""Resolving with real dnf against a real, signed repository of our own, faults included."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.distros import SUITES, ArchiveSources, MirrorSettings, UnknownPackageError, distro
from builder.host.programs import on_host
from builder.model.errors import HostError, RecipeError, TrustError, UpstreamError
from builder.model.lock import Asked, AskedLayer, Lock
from builder.model.recipe import Arch
from tests.support.needs import needs
from tests.support.packages.archive import Fault, Mirror, dead_url, serve
from tests.support.packages.rpm_archive import APPSTREAM, BASEOS, EPOCH, MINIMUM, Rpm, RpmArchive

pytestmark = needs(
    "program:dnf", "program:rpmbuild", "program:rpmsign", "program:createrepo_c", "program:gpg"
)

PACKAGES = (
    *MINIMUM,
    Rpm(
        "web",
        fields="Epoch: 2\nRecommends: web-docs",
        requires=("libweb = 3.0-1", "/usr/bin/agent"),
        repository=APPSTREAM,
    ),
    Rpm("libweb", version="3.0", arch="x86_64", repository=APPSTREAM),
    Rpm("web-docs", repository=APPSTREAM),
    Rpm("agent", fields="Provides: /usr/bin/agent\nRecommends: agent-extras"),
    Rpm("agent-extras"),
    Rpm("rival", fields="Conflicts: agent"),
    Rpm("newest", requires=("libtiny > 1.0",)),
    Rpm("torn", requires=("nowhere >= 2",)),
    Rpm("NetworkManager", requires=("libtiny",)),
    Rpm(
        "a-package-with-a-name-that-does-not-fit-into-a-column-of-the-table-that-dnf-shows",
        version="20240603.1234567890.very.long",
    ),
)
LONG = PACKAGES[-1].name


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> RpmArchive:
    return RpmArchive.make(tmp_path_factory.mktemp("rpm"), PACKAGES)


@pytest.fixture
def mirror(archive: RpmArchive) -> Iterator[Mirror]:
    with serve(archive.pub) as mirror:
        yield mirror


@pytest.fixture
def sources(archive: RpmArchive, mirror: Mirror, tmp_path: Path) -> ArchiveSources:
    return sources_of(archive, tmp_path, mirror.url)


def sources_of(
    archive: RpmArchive, folder: Path, *urls: str, name: str = "rockylinux"
) -> ArchiveSources:
    settings = MirrorSettings(mirrors={name: urls}, keyrings={name: str(archive.keyring)})
    return distro(name).sources(asked(name=name), settings, folder / "cache")


def asked(
    *install: str,
    recommends: bool = False,
    appliance: tuple[str, ...] = (),
    name: str = "rockylinux",
) -> Asked:
    return Asked(
        distro=name,
        suite=SUITES[name][0],
        arch=Arch.AMD64,
        components=("main",),
        layers=(
            AskedLayer(recipe="template", install=install, recommends=recommends),
            AskedLayer(recipe="appliance", install=appliance),
        ),
    )


def resolve(wanted: Asked, sources: ArchiveSources, keep: Lock | None = None) -> Lock:
    return distro(wanted.distro).resolve(wanted, sources, on_host, keep)


def later(sources: ArchiveSources) -> ArchiveSources:
    """Give what another command would have."""
    return dataclasses.replace(sources, fresh=set())


def names(lock: Lock, layer: str) -> list[str]:
    return [package.name for package in lock.packages if package.layer == layer]


def test_minimum(sources: ArchiveSources, archive: RpmArchive) -> None:
    lock = resolve(asked(), sources)
    assert names(lock, "base") == sorted({package.name for package in MINIMUM})
    assert len(lock.packages) == len(names(lock, "base"))
    assert lock.epoch == EPOCH
    assert [(one.archive, one.suite) for one in lock.releases] == [
        ("rockylinux", BASEOS),
        ("rockylinux", APPSTREAM),
    ]
    for release in lock.releases:
        assert release.date == "Mon, 03 Jun 2024 12:00:00 GMT"
        assert release.signed_by == (archive.fingerprint,)
    assert processes_of(sources.cache) == []


def processes_of(folder: Path) -> list[str]:
    """Name the processes that work for a folder: dnf leaves agents of gpg behind."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in (line := path.read_bytes()):
                found.append(os.fsdecode(line))
    return found


def test_a_package_is_described_as_its_repository_does(
    sources: ArchiveSources, archive: RpmArchive
) -> None:
    lock = resolve(asked("web"), sources)
    by_name = {package.name: package for package in lock.packages}
    # An epoch is a part of a version, and not of a file's name.
    assert by_name["web"].version == "2:1.0-1"
    assert by_name["web"].path == f"{APPSTREAM}/Packages/web-1.0-1.noarch.rpm"
    assert by_name["libtiny"].version == "1.1~rc1-1"
    assert by_name["libtiny"].arch == "x86_64"
    for package in lock.packages:
        file = archive.pub / package.path
        assert file.stat().st_size == package.size
        assert len(package.sha256) == 64
    assert by_name["web"].requested
    assert not by_name["libweb"].requested


def test_layers_stand_on_one_another(sources: ArchiveSources) -> None:
    lock = resolve(asked("agent", appliance=("web", "coreutils")), sources)
    assert names(lock, "template") == ["agent"]
    # A file that is provided by a package of the layer below is not looked for again.
    assert names(lock, "appliance") == ["libweb", "web"]


def test_recommended_packages_come_only_when_wanted_and_only_for_the_layer(
    sources: ArchiveSources,
) -> None:
    assert names(resolve(asked("web"), sources), "template") == ["agent", "libweb", "web"]
    lock = resolve(asked("web", recommends=True), sources)
    assert names(lock, "template") == ["agent", "agent-extras", "libweb", "web", "web-docs"]
    wide = dataclasses_replace_layers(asked("agent", appliance=("web",)))
    assert names(resolve(wide, sources), "appliance") == ["libweb", "web", "web-docs"]


def dataclasses_replace_layers(wanted: Asked) -> Asked:
    """Have only the upper layer want what is recommended."""
    upper = msgspec.structs.replace(wanted.layers[1], recommends=True)
    return msgspec.structs.replace(wanted, layers=(wanted.layers[0], upper))


# An older lock


def test_an_extended_lock_keeps_its_versions_and_asks_nobody(
    sources: ArchiveSources, mirror: Mirror
) -> None:
    old = without_newest(resolve(asked("agent"), sources), "libtiny", "1.0-1")
    mirror.requests.clear()
    new = resolve(asked("agent", "libweb"), later(sources), keep=old)
    assert versions(new)["libtiny"] == "1.0-1"
    assert versions(new)["libweb"] == "3.0-1"
    assert mirror.requests == []


def test_what_an_older_lock_lacks_is_asked_for(sources: ArchiveSources, mirror: Mirror) -> None:
    old = resolve(asked("agent"), sources)
    mirror.requests.clear()
    with pytest.raises(UnknownPackageError):
        resolve(asked("agent", "libwed"), later(sources), keep=old)
    assert mirror.asked("repomd.xml")


def test_versions_of_an_older_lock_that_stand_in_the_way_go(sources: ArchiveSources) -> None:
    old = without_newest(resolve(asked(), sources), "libtiny", "1.0-1")
    new = resolve(asked("newest"), sources, keep=old)
    assert versions(new)["libtiny"] == "1.1~rc1-1"


def test_a_version_that_is_no_longer_there_is_not_kept(sources: ArchiveSources) -> None:
    old = without_newest(resolve(asked(), sources), "libtiny", "0.9-1")
    assert versions(resolve(asked("agent"), sources, keep=old))["libtiny"] == "1.1~rc1-1"


def without_newest(lock: Lock, name: str, version: str) -> Lock:
    """Give a lock as it would be from before a package's newest version."""
    packages = tuple(
        msgspec.structs.replace(one, version=version) if one.name == name else one
        for one in lock.packages
    )
    return msgspec.structs.replace(lock, packages=packages)


def versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_names_that_dnf_breaks_into_lines(sources: ArchiveSources) -> None:
    lock = resolve(asked(LONG, "NetworkManager"), sources)
    assert names(lock, "template") == ["NetworkManager", LONG]


def test_a_conflict_with_the_layer_below(sources: ArchiveSources) -> None:
    with pytest.raises(RecipeError, match="rival"):
        resolve(asked("agent", appliance=("rival",)), sources)


def test_what_cannot_be_satisfied_is_explained(sources: ArchiveSources) -> None:
    with pytest.raises(RecipeError, match="nothing provides nowhere >= 2"):
        resolve(asked("torn"), sources)


def test_an_unknown_package(sources: ArchiveSources) -> None:
    with pytest.raises(UnknownPackageError, match="no package `libwed` in Rocky Linux 9") as caught:
        resolve(asked("libwed"), sources)
    assert caught.value.name == "libwed"
    assert caught.value.hint == "did you mean `libweb`?"


def test_the_next_mirror_is_asked(archive: RpmArchive, mirror: Mirror, tmp_path: Path) -> None:
    resolve(asked(), sources_of(archive, tmp_path, dead_url(), mirror.url))


def test_a_mirror_that_is_not_there(archive: RpmArchive, tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="cannot download the metadata"):
        resolve(asked(), sources_of(archive, tmp_path, dead_url()))


def test_metadata_without_a_signature(sources: ArchiveSources, mirror: Mirror) -> None:
    mirror.faults["repomd.xml.asc"] = Fault(status=404)
    with pytest.raises(TrustError, match="signature"):
        resolve(asked(), sources)
    assert not list(sources.cache.rglob("repomd.xml"))


def test_metadata_that_was_changed(
    sources: ArchiveSources, mirror: Mirror, archive: RpmArchive
) -> None:
    resolve(asked(), sources)
    repomd = (archive.pub / BASEOS / "repodata/repomd.xml").read_bytes()
    mirror.faults[f"{BASEOS}/repodata/repomd.xml"] = Fault(body=repomd + b"<!-- -->")
    with pytest.raises(TrustError, match="signature"):
        resolve(asked(), later(sources))
    assert not list(sources.cache.rglob("repomd.xml"))


def test_metadata_of_a_stranger(
    sources: ArchiveSources, mirror: Mirror, archive: RpmArchive
) -> None:
    archive.sign_index(BASEOS, "stranger")
    forged = (archive.pub / BASEOS / "repodata/repomd.xml.asc").read_bytes()
    archive.sign_index(BASEOS, "archive")
    mirror.faults[f"{BASEOS}/repodata/repomd.xml.asc"] = Fault(body=forged)
    with pytest.raises(TrustError, match=r"signature|key"):
        resolve(asked(), sources)


def test_an_index_that_is_not_the_signed_one(sources: ArchiveSources, mirror: Mirror) -> None:
    for compressed in ("primary.xml.gz", "primary.xml.zst"):  # by createrepo_c's version
        mirror.faults[compressed] = Fault(body=b"nothing")
    with pytest.raises(UpstreamError):
        resolve(asked(), sources)


def test_a_distribution_that_does_not_sign_its_metadata(
    archive: RpmArchive, tmp_path: Path
) -> None:
    """Fedora vouches for it by metalink; from a mirror that is set, only packages are verified."""
    pub = tmp_path / "pub"
    for place in ("releases/41/Everything/x86_64/os", "updates/41/Everything/x86_64"):
        (pub / place).parent.mkdir(parents=True, exist_ok=True)
        (pub / place).symlink_to(archive.pub / BASEOS)
    archive.build([Rpm("fedora-release-container")])
    archive.index(BASEOS)
    with serve(pub) as mirror:
        lock = resolve(
            asked(name="fedora"), sources_of(archive, tmp_path, mirror.url, name="fedora")
        )
    assert {release.signed_by for release in lock.releases} == {()}
    assert "fedora-release-container" in names(lock, "base")


# Keys


def test_a_key_that_is_not_the_pinned_one(
    archive: RpmArchive, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of this machine's with the right name must have the right key."""
    folder = tmp_path / "keys/rocky"
    folder.mkdir(parents=True)
    (folder / "RPM-GPG-KEY-Rocky-9").write_bytes(archive.keyring.read_bytes())
    monkeypatch.setattr("builder.distros.rpm.keys.FOLDERS", (tmp_path / "keys",))
    settings = MirrorSettings(mirrors={"rockylinux": (mirror.url,)})
    sources = distro("rockylinux").sources(asked(), settings, tmp_path / "cache")
    assert sources.keyring == folder / "RPM-GPG-KEY-Rocky-9"
    with pytest.raises(TrustError, match="21CB256AE16FC54C6E652949702D426D350D275D") as caught:
        resolve(asked(), sources)
    assert archive.fingerprint in str(caught.value.hint)
    assert mirror.requests == []


def test_without_a_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.distros.rpm.keys.FOLDERS", (tmp_path,))
    with pytest.raises(HostError, match="keys of Rocky Linux are not at"):
        distro("rockylinux").sources(asked(), MirrorSettings(), tmp_path / "cache")


def test_a_keyring_without_keys(sources: ArchiveSources) -> None:
    assert sources.keys is not None
    empty = msgspec.structs.replace(sources.keys, data=b"")
    with pytest.raises(TrustError, match="no keys"):
        resolve(asked(), dataclasses.replace(sources, keys=empty))


# What a distribution has


def test_what_the_distribution_does_not_have(sources: ArchiveSources) -> None:
    wrong = {
        "suite": ("8", "unknown release `8`"),
        "arch": (Arch.ARMHF, "not made for `armhf`"),
        "components": (("main", "contrib"), "no component `contrib`"),
    }
    for field, (value, words) in wrong.items():
        with pytest.raises(RecipeError, match=words):
            resolve(msgspec.structs.replace(asked(), **{field: value}), sources)
