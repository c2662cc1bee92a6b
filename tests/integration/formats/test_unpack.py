"""Hostile archives: each is refused by name, nothing outside is touched, and nothing is left."""

import gzip
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember, encode
from builder.formats.tar.policy import ArchiveLimits
from builder.formats.tar.unpack import read_manifest, unpack
from builder.model.errors import HostError, OvenError, RecipeError, TrustError
from builder.model.manifest import MANIFEST_PATH
from builder.model.value import canonical
from tests.support.needs import needs
from tests.support.trees.odd_trees import EPOCH, manifest
from tests.support.trees.tar_blocks import END, FIRST, entry, hard_link, symlink

pytestmark = needs("root")

CANARY = "the host's own"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with the host's files, and beside them the one that archives are unpacked in."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/canary").write_text(CANARY)
    (tmp_path / "inside").mkdir()
    return tmp_path


def feed(house: Path, body: bytes, limits: ArchiveLimits | None = None) -> Path:
    """Unpack an archive of these bytes."""
    source = house / "source.tar.zst"
    source.write_bytes(zstandard.compress(body))
    target = house / "inside/target"
    unpack(source, target, limits)
    return target


def assert_untouched(house: Path) -> None:
    assert [path.name for path in (house / "host").iterdir()] == ["canary"]
    assert (house / "host/canary").read_text() == CANARY
    assert (house / "host/canary").stat().st_nlink == 1
    assert list((house / "inside").iterdir()) == []
    assert sorted(path.name for path in house.iterdir() if path.name != "source.tar.zst") == [
        "host",
        "inside",
    ]


def escapes(house: Path) -> dict[str, tuple[bytes, str]]:
    """Give archives that try to get out, and what is said of each."""
    host = str(house / "host")
    up = "../" * 3 + "host/new"
    return {
        "parent": (entry(up), "`..`"),
        "hidden parent": (entry("./usr/../../../host/new"), "`..`"),
        "absolute": (entry(f"{host}/new"), "absolute"),
        "absolute folder": (entry(f"{host}/new/", headers.FOLDER), "absolute"),
        "through an absolute link": (symlink("way", host) + entry("way/new"), "to be a folder"),
        "through a relative link": (
            symlink("way", "../../host") + entry("way/new"),
            "to be a folder",
        ),
        "through two links": (
            symlink("b", host) + symlink("a", "b") + entry("a/new"),
            "to be a folder",
        ),
        "folder over a link": (
            symlink("way", host) + entry("way/", headers.FOLDER) + entry("way/new"),
            "to be a folder",
        ),
        "file over a link": (
            symlink("way", f"{host}/canary") + entry("way", data=b"gone"),
            "twice",
        ),
        "through a file": (entry("file") + entry("file/new"), "to be a folder"),
        "hard link outside": (hard_link("new", f"{host}/canary"), "no file before it"),
        "hard link above": (hard_link("new", "../../host/canary"), "no file before it"),
        "hard link to a link": (
            symlink("way", f"{host}/canary") + hard_link("new", "way"),
            "no file before it",
        ),
        "hard link through a link": (
            symlink("way", host) + hard_link("new", "way/canary"),
            "no file before it",
        ),
        "hard link to a folder": (
            entry("d/", headers.FOLDER) + hard_link("new", "d"),
            "no file before it",
        ),
        "hard link to the root": (hard_link("new", "./"), "no file before it"),
        "hard link to nothing": (hard_link("new", "nothing"), "no file before it"),
        "symbolic link outside": (symlink(up, host), "`..`"),
    }


@pytest.mark.parametrize("name", escapes(Path("/")))
def test_nothing_gets_out(house: Path, name: str) -> None:
    body, why = escapes(house)[name]
    with pytest.raises(TrustError, match=why) as caught:
        feed(house, FIRST + body + END)
    assert str(house / "source.tar.zst") == str(caught.value.at and caught.value.at.path)
    assert_untouched(house)


@pytest.mark.parametrize("top", ["dev", "etc", "proc", "sys", "run", "var", "usr"])
@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_what_must_be_a_folder_is_nothing_else(house: Path, top: str, kind: str) -> None:
    body = symlink(f"./{top}", str(house / "host")) if kind == "symlink" else entry(top)
    with pytest.raises(TrustError, match=f"{top}` must be a folder"):
        feed(house, FIRST + body + END)
    assert_untouched(house)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (entry("dev/sda", headers.BLOCK_DEVICE), "`dev/sda` is a device node"),
        (entry("x/y", headers.CHAR), "`x/y` is a device node"),
        (entry("old", b"S"), "is of the kind"),
        (entry("later", b"M"), "is of the kind"),
        (symlink("./", "/"), "stands for the root"),
        (entry("x", uid=65536), "owner that is not between"),
        (entry("x", gid=1 << 20), "owner that is not between"),
        (entry("x", xattrs={"trusted.overlay.opaque": b"y"}), "attribute"),
        (entry("x", xattrs={"user.overlay.redirect": b"/etc"}), "attribute"),
        (entry("x", xattrs={"security.ima": b"y"}), "attribute"),
        (entry("x", xattrs={"security.capability": b"y" * 20}), "capability"),
        (entry("n" * 256), "too long"),
        (entry("d/" * 300 + "x"), "folders"),
        (entry("x") + entry("x"), "`x` appears twice"),
        (entry("x") + entry("./x"), "`./x` appears twice"),
        (entry("d/", headers.FOLDER) * 2, "`d/` appears twice"),
        (entry("d/", headers.FOLDER) + entry("d"), "`d` appears twice"),
        (symlink("x", "a") + symlink("x", "b"), "`x` appears twice"),
        (entry("x\x1b[2J", headers.CHAR), r"`x\\x1b\[2J` is a device"),
        (b"junk" * 128, "not a sound tar"),
    ],
)
def test_what_no_template_needs_is_refused_by_name(house: Path, body: bytes, why: str) -> None:
    with pytest.raises(TrustError, match=why):
        feed(house, FIRST + body + END)
    assert_untouched(house)


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        (entry("bomb", size=1 << 50, runs=[]), ArchiveLimits()),
        (entry("bomb", size=1 << 50, runs=[]), ArchiveLimits(size=1 << 49)),
        (b"".join(entry(f"{n}") for n in range(100)), ArchiveLimits(entries=100)),
        (
            entry("a", data=bytes(700_000)) + entry("b", data=bytes(700_000)),
            ArchiveLimits(size=1 << 20),
        ),
    ],
)
def test_bombs_are_stopped(house: Path, body: bytes, limits: ArchiveLimits) -> None:
    with pytest.raises(TrustError, match="more than the limit"):
        feed(house, FIRST + body + END, limits)
    assert_untouched(house)


def test_a_bomb_of_zeros_after_a_header_is_not_read_into_memory(house: Path) -> None:
    """The size in the header alone tells."""
    body = FIRST + encode(
        TarMember(name=b"x", kind=b"0", mode=0, uid=0, gid=0, mtime=0, size=1 << 60)
    )
    with pytest.raises(TrustError, match="more than the limit"):
        feed(house, body)
    assert_untouched(house)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (END, "it is empty"),
        (entry("./etc/hosts") + FIRST + END, "first entry"),
        (entry(f"./{MANIFEST_PATH}/", headers.FOLDER) + END, "first entry"),
        (symlink(f"./{MANIFEST_PATH}", "/etc/passwd") + END, "first entry"),
        (entry(MANIFEST_PATH, data=b"{}") + END, "manifest cannot be read"),
        (entry(MANIFEST_PATH, data=b"\xff\xfe") + END, "manifest cannot be read"),
        (
            entry(MANIFEST_PATH, data=canonical(manifest("../../host/new"))) + END,
            "manifest cannot be read",
        ),
    ],
)
def test_what_has_no_manifest_is_no_template(house: Path, body: bytes, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        feed(house, body)
    assert_untouched(house)
    with pytest.raises(RecipeError, match=why):
        read_manifest(house / "source.tar.zst")


def whole(tmp_path: Path, pack: Callable[[bytes], bytes]) -> tuple[Path, bytes]:
    body = FIRST + entry("etc/", headers.FOLDER) + entry("etc/x", data=os.urandom(300_000)) + END
    return tmp_path / "source.tar.zst", pack(body)


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress, bytes])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.99])
def test_half_an_archive_is_told(house: Path, pack: Callable[[bytes], bytes], part: float) -> None:
    source, data = whole(house, pack)
    source.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(RecipeError, match="ends in the middle"):
        unpack(source, house / "inside/target")
    assert_untouched(house)


def test_an_archive_cut_between_two_frames_is_told(house: Path) -> None:
    """Every frame and every entry is whole, and only the end of the tar is missing."""
    source = house / "source.tar.zst"
    source.write_bytes(zstandard.compress(FIRST) + zstandard.compress(entry("x")))
    with pytest.raises(RecipeError, match="ends in the middle"):
        unpack(source, house / "inside/target")
    assert_untouched(house)


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress])
def test_a_flipped_bit_is_told(house: Path, pack: Callable[[bytes], bytes]) -> None:
    source, data = whole(house, pack)
    if pack is zstandard.compress:
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        data = compressor.compress(zstandard.decompress(data))
    spoilt = bytearray(data)
    spoilt[len(data) // 2] ^= 1
    source.write_bytes(spoilt)
    with pytest.raises(OvenError, match="damaged"):
        unpack(source, house / "inside/target")
    assert_untouched(house)


@pytest.mark.parametrize("data", [b"", b"x", b"PK\x03\x04" * 1000, b"\x28\xb5\x2f\xfd"])
def test_what_is_no_archive_is_told(house: Path, data: bytes) -> None:
    source = house / "source.tar.zst"
    source.write_bytes(data)
    with pytest.raises(RecipeError, match=r"no template|ends in the middle"):
        unpack(source, house / "inside/target")
    assert_untouched(house)


def test_a_file_that_is_not_there_or_a_folder_is_told(house: Path) -> None:
    for source in (house / "nothing", house / "host"):
        with pytest.raises(RecipeError, match="cannot read"):
            unpack(source, house / "inside/target")
    assert_untouched(house)


def test_a_full_disk_leaves_nothing(house: Path) -> None:
    """A small tmpfs is a disk that really is full."""
    small = house / "inside"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(HostError, match="no space left"):
            feed(house, FIRST + entry("x", data=os.urandom(200_000)) + END)
        assert_untouched(house)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_is_merely_unusual_is_taken(house: Path) -> None:
    body = (
        FIRST
        + symlink("bin", "usr/bin")
        + symlink("etc/outside", "/../../etc/shadow")
        + entry("usr/bin/su", data=b"x", mode=0o4755)
        + entry("a/b/c/no-parents")
        + entry("note", b"g", b"13 comment=x\n")
        + hard_link("./zu", "./usr/bin/su")
        + entry("srv/", headers.FOLDER, mode=0, uid=65535, gid=65535)
        + END
    )
    target = feed(house, body)
    assert stat.S_IMODE((target / "usr/bin/su").stat().st_mode) == 0o4755
    assert (target / "zu").samefile(target / "usr/bin/su")
    assert (target / "a/b").stat().st_mode == stat.S_IFDIR | 0o755
    assert (target / "a/b").stat().st_mtime == EPOCH
    assert ((target / "srv").stat().st_uid, (target / "srv").stat().st_mode) == (
        65535,
        stat.S_IFDIR,
    )


def test_an_archive_of_another_program_with_long_names_is_taken(house: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(MANIFEST_PATH)
        info.size = len(canonical(manifest()))
        tar.addfile(info, io.BytesIO(canonical(manifest())))
        link = tarfile.TarInfo("d/" * 60 + "link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 300
        tar.addfile(link)
    target = feed(house, buffer.getvalue())
    assert (target / ("d/" * 60 + "link")).readlink() == Path("t" * 300)
