"""Indexes of mirrors that are down, behind, damaged or hostile: the next one, or a clear word."""

import dataclasses
import threading
from pathlib import Path

import pytest

from builder.distros import ArchiveSources, UnknownPackageError
from builder.distros.debian.archive import solve
from builder.model.errors import HostError, OvenError, TrustError, UpstreamError
from builder.model.progress import Silent
from builder.recipes.lock_files import LockFiles, lock_for
from builder.stages.resolve import resolve
from builder.stages.tools import Tools
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Fault, Mirror, dead_url, serve
from tests.support.packages.resolving import asked, later

pytestmark = needs("program:apt-ftparchive", "program:dpkg-deb", "program:gpg", "program:gpgv")


def kept(sources: ArchiveSources) -> list[str]:
    """Name the indexes that are kept for the next time."""
    return [path.name for path in sources.cache.rglob("*_*") if path.is_file()]


def fails(kind: type[OvenError], match: str, sources: ArchiveSources, tools: Tools) -> OvenError:
    with pytest.raises(kind, match=match) as caught:
        resolve(asked("web"), sources, tools)
    return caught.value


def test_mirror_is_down(sources: ArchiveSources, tools: Tools) -> None:
    url = dead_url()
    down = {"debian": (f"{url}/debian",), "debian-security": (f"{url}/debian-security",)}
    error = fails(
        UpstreamError,
        f"cannot download `{url}/debian.*InRelease`: .*(refused|Unable to connect)",
        dataclasses.replace(sources, mirrors=down),
        tools,
    )
    assert error.hint


def test_next_mirror_is_tried(sources: ArchiveSources, mirror: Mirror, tools: Tools) -> None:
    urls = {"debian": (f"{dead_url()}/debian", *mirror.urls["debian"])}
    mirrors = {**mirror.urls, **urls}
    lock = resolve(asked("web"), dataclasses.replace(sources, mirrors=mirrors), tools)
    assert lock == resolve(asked("web"), sources, tools)


@pytest.mark.parametrize("fault", ["expired", "other bytes"])
def test_next_mirror_is_tried_for_a_stale_index(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools, fault: str
) -> None:
    """A mirror that is being changed has an index that does not fit its own hashes."""
    with serve(archive.root) as stale:
        release = archive.release()
        if fault == "expired":
            until = b"Valid-Until: Sun, 02 Jun 2024 12:00:00 UTC\nCodename:"
            old = archive.sign(release.replace(b"Codename:", until))
            stale.faults["bookworm/InRelease"] = Fault(body=old)
        else:
            stale.faults["bookworm/main/binary-amd64/Packages"] = Fault(body=b"Package: web\n")
        urls = {"debian": (*stale.urls["debian"], *mirror.urls["debian"])}
        both = dataclasses.replace(sources, mirrors={**mirror.urls, **urls})
        lock = resolve(asked("web"), both, tools)
    assert stale.asked("dists/bookworm/InRelease")
    assert mirror.asked("dists/bookworm/InRelease")
    assert lock == resolve(asked("web"), sources, tools)


def test_a_mirror_that_does_not_come_to_an_end_is_given_up(
    sources: ArchiveSources, mirror: Mirror, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one is asked."""
    monkeypatch.setattr(solve, "PATIENCE", 2.0)
    go_on = threading.Event()
    with serve(mirror.root) as slow:
        slow.faults["bookworm/InRelease"] = Fault(wait=go_on)
        only = dataclasses.replace(sources, mirrors=slow.urls)
        fails(UpstreamError, "did not give the indexes in 2 seconds", only, tools)
        urls = {"debian": (*slow.urls["debian"], *mirror.urls["debian"])}
        both = dataclasses.replace(sources, mirrors={**mirror.urls, **urls})
        lock = resolve(asked("web"), both, tools)
        go_on.set()
    assert lock == resolve(asked("web"), sources, tools)


def test_notes_of_another_index_are_not_used(sources: ArchiveSources, tools: Tools) -> None:
    """What is noted about the indexes belongs to these very files."""
    first = resolve(asked("web"), sources, tools)
    (notes,) = sources.cache.glob("apt/*/contents")
    for damage in (b"", notes.read_bytes()[:-9], b"\x80"):
        notes.write_bytes(damage)
        assert resolve(asked("web"), sources, tools) == first
    (packages,) = sources.cache.glob("apt/*/var/lib/apt/lists/*_dists_bookworm_main_*_Packages")
    packages.write_bytes(packages.read_bytes().replace(b"Package: cron\n", b"Package: crom\n"))
    with pytest.raises(UnknownPackageError):
        resolve(asked("cron"), sources, tools)


def test_suite_is_not_there(sources: ArchiveSources, mirror: Mirror, tools: Tools) -> None:
    for name in ("InRelease", "Release", "Release.gpg"):
        mirror.faults[f"bookworm-updates/{name}"] = Fault(status=404)
    fails(UpstreamError, rf"{mirror.url}/debian\S* bookworm-updates", sources, tools)


@pytest.mark.parametrize("file", ["bookworm/InRelease", "main/binary-amd64/Packages"])
def test_truncation(sources: ArchiveSources, mirror: Mirror, tools: Tools, file: str) -> None:
    mirror.faults[file] = Fault(cut=300)
    fails(UpstreamError, rf"`{mirror.url}/debian\S*/{file}`", sources, tools)


def test_wrong_bytes(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    packages = archive.root / "debian/dists/bookworm/main/binary-amd64/Packages"
    forged = packages.read_bytes().replace(b"Package: web\n", b"Package: wab\n")
    mirror.faults["bookworm/main/binary-amd64/Packages"] = Fault(body=forged)
    fails(UpstreamError, rf"`{mirror.url}/debian/dists/bookworm/main\S*`.*Hash Sum", sources, tools)


def test_page_in_place_of_an_index(sources: ArchiveSources, mirror: Mirror, tools: Tools) -> None:
    for name in ("InRelease", "Release"):
        mirror.faults[f"bookworm/{name}"] = Fault(body=b"<html>Please log in</html>\n")
    fails(UpstreamError, rf"{mirror.url}/debian", sources, tools)


def test_bad_signature(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    forged = archive.in_release().read_bytes().replace(b"Origin: Debian", b"Origin: Dabian")
    mirror.faults["bookworm/InRelease"] = Fault(body=forged)
    error = fails(
        TrustError,
        rf"not good: {mirror.url}/debian.*(BADSIG|: Message has been manipulated$)",
        sources,
        tools,
    )
    assert error.hint
    assert kept(sources) == []


def test_unknown_key(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    signed = archive.sign(archive.release(), user="stranger@example.invalid")
    mirror.faults["bookworm/InRelease"] = Fault(body=signed)
    fails(TrustError, "not good: .*(NO_PUBKEY|: Missing key)", sources, tools)
    assert kept(sources) == []


def test_bad_signature_after_a_good_one(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools, tmp_path: Path
) -> None:
    files = LockFiles("web", tmp_path / "web.lock", tmp_path)
    resolve(asked("web"), sources, tools)
    newer = archive.release().replace(b"Sat, 01 Jun", b"Tue, 04 Jun")
    signed = archive.sign(newer, user="stranger@example.invalid")
    mirror.faults["bookworm/InRelease"] = Fault(body=signed)
    with pytest.raises(TrustError):
        lock_for(
            asked("web"),
            files,
            lambda _: resolve(asked("web"), later(sources), tools),
            Silent(),
            now=0,
        )
    assert kept(sources) == []
    assert not files.committed.exists()
    assert not files.implicit(asked()).exists()


def test_other_suite_in_its_place(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    for name in ("InRelease", "main/binary-amd64/Packages"):
        other = archive.root / "debian/dists/bookworm-updates" / name
        mirror.faults[f"bookworm/{name}"] = Fault(body=other.read_bytes())
    fails(TrustError, "serves `bookworm-updates` in place of `bookworm`", sources, tools)
    assert kept(sources) == []


def test_expired_index(
    sources: ArchiveSources, archive: Archive, mirror: Mirror, tools: Tools
) -> None:
    old = archive.release().replace(
        b"Codename:", b"Valid-Until: Sun, 02 Jun 2024 12:00:00 UTC\nCodename:"
    )
    mirror.faults["bookworm/InRelease"] = Fault(body=archive.sign(old))
    error = fails(
        UpstreamError, rf"{mirror.url}/debian/dists/bookworm.* is expired", sources, tools
    )
    assert "clock" in (error.hint or "")


def test_keyring_is_missing(sources: ArchiveSources, tools: Tools, tmp_path: Path) -> None:
    error = fails(
        HostError,
        "the keys of Debian's archive are not at",
        dataclasses.replace(sources, keyring=tmp_path / "none.gpg"),
        tools,
    )
    assert error.hint
    assert error.hint.startswith("apt-get install debian-archive-keyring, or ")
