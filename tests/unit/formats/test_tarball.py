"""Tarballs: headers that others read, frames that are always the same, names that are refused."""

import io
import os
import struct
import tarfile
from functools import partial
from pathlib import Path

import pytest
import zstandard

from builder.formats.cuts import FRAME
from builder.formats.frames import FrameWriter, WrittenFile, compress
from builder.formats.table import FORMATS
from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember, encode, padding, plain_capability
from builder.formats.tar.policy import DEPTH, RefusedError, check, parts_of, shown
from builder.formats.tar.reader import TarStream
from builder.formats.tarball import pack
from builder.model.errors import RecipeError, StageError, TrustError
from builder.model.manifest import MANIFEST_PATH
from tests.support.trees.odd_trees import ACL, EPOCH, manifest


def member(name: bytes = b"./f", kind: bytes = headers.FILE, **more: object) -> TarMember:
    made = TarMember(name=name, kind=kind, mode=0o644, uid=1, gid=2, mtime=3)
    for field, value in more.items():
        setattr(made, field, value)
    return made


def frames(tmp_path: Path, parts: list[bytes], jobs: int) -> tuple[WrittenFile, bytes]:
    path = tmp_path / f"frames-{jobs}"
    with path.open("wb") as file, FrameWriter(file, jobs=jobs) as writer:
        for part in parts:
            writer.add(partial(compress, [part], 3))
        written = writer.finish()
    return written, path.read_bytes()


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    parts = [bytes([n]) * 100_000 for n in range(40)]
    results = [frames(tmp_path, parts, jobs) for jobs in (1, 2, 7)]
    assert results[0] == results[1] == results[2]
    written, data = results[0]
    assert written.size == len(data)
    assert written.uncompressed == 4_000_000
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        assert reader.read() == b"".join(parts)


def test_every_frame_stands_alone_and_is_checked(tmp_path: Path) -> None:
    _, data = frames(tmp_path, [b"one" * 1000, b"two" * 1000], 2)
    first = zstandard.ZstdDecompressor().decompressobj()
    assert first.decompress(data) == b"one" * 1000
    assert zstandard.ZstdDecompressor().decompress(first.unused_data) == b"two" * 1000
    assert zstandard.get_frame_parameters(data).has_checksum


@pytest.mark.parametrize("length", [1, 99, 100, 101, 255, 1000, 4000])
@pytest.mark.parametrize("letter", [b"n", "ß".encode(), b"\xff"])
def test_names_of_any_length_are_read_by_others(length: int, letter: bytes) -> None:
    name = (b"./" + letter * length)[:length]
    link = b"t" * length
    data = encode(member(name, headers.SYMLINK, link=link, xattrs={"user.x": b"\0=\n\xff"}))
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024)), errors="surrogateescape") as tar:
        (found,) = tar.getmembers()
    assert found.name.encode(errors="surrogateescape") == name
    assert found.linkname.encode() == link
    (again,) = TarStream(iter([data, bytes(1024)]), Path("x"), most=1 << 20)
    assert (again.name, again.link, again.xattrs) == (name, link, {"user.x": b"\0=\n\xff"})


@pytest.mark.parametrize("size", [*range(80, 110), 985, 986, 987, 988, 989, 990])
def test_a_record_counts_the_digits_of_its_own_length(size: int) -> None:
    data = encode(member(xattrs={"user.x": b"v" * size}))
    (again,) = TarStream(iter([data, bytes(1024)]), Path("x"), most=1 << 20)
    assert again.xattrs == {"user.x": b"v" * size}
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024))) as tar:
        assert tar.getmembers()[0].pax_headers["SCHILY.xattr.user.x"] == "v" * size


def test_a_file_of_more_than_8_gib_says_so() -> None:
    data = encode(member(size=9 << 30))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        found = tar.next()
    assert found is not None
    assert found.size == 9 << 30


def test_a_sparse_file_is_read_by_others() -> None:
    sparse = member(b"./dir/sparse", size=3 << 20, runs=[(1 << 20, 5)])
    data = encode(sparse) + b"bread" + padding(5) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (found,) = tar.getmembers()
        file = tar.extractfile(found)
        assert file is not None
        assert file.read() == bytes(1 << 20) + b"bread" + bytes((2 << 20) - 5)
    assert found.name == "./dir/sparse"


def test_capabilities_forget_the_namespace_that_they_were_set_in() -> None:
    plain = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    within = struct.pack("<IIIIII", 0x03000001, 1 << 10, 0, 0, 0, 100_000)
    assert plain_capability(plain) == plain
    assert plain_capability(within) == plain
    assert plain_capability(b"") is None
    assert plain_capability(within[:20]) is None


def small_tree(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc/motd").write_text("hello\n")
    return root


def entries(path: Path) -> list[tarfile.TarInfo]:
    with (
        path.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        return list(tar)


def test_the_manifest_comes_first_and_names_are_sorted(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "t")
    (tree / "etc-more").mkdir()
    written = pack(tree, manifest(), tmp_path / "out", jobs=2)
    found = entries(tmp_path / "out")
    names = [one.name for one in found]
    assert names[0] == f"./{MANIFEST_PATH}"
    assert names[1:] == sorted(names[1:], key=lambda name: name.split("/"))
    assert names.index("./etc/motd") == names.index("./etc") + 1  # `etc-more` comes after
    assert "./usr/share/oven" in names  # made, for the tree has none
    assert all(one.uname == one.gname == "" for one in found)
    assert max(one.mtime for one in found) <= EPOCH
    assert written.size == (tmp_path / "out").stat().st_size


def test_a_manifest_in_the_tree_gives_way_to_the_real_one(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "t")
    (tree / MANIFEST_PATH).parent.mkdir(parents=True)
    (tree / MANIFEST_PATH).write_text("forged")
    pack(tree, manifest(), tmp_path / "out")
    names = [one.name for one in entries(tmp_path / "out")]
    assert names.count(f"./{MANIFEST_PATH}") == 1


def test_a_link_to_another_tree_is_no_hard_link_in_this_one(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "t")
    (tmp_path / "other").hardlink_to(tree / "etc/motd")
    pack(tree, manifest(), tmp_path / "out")
    assert not any(one.islnk() for one in entries(tmp_path / "out"))


def test_holes_are_what_is_zero_not_what_the_disk_says(tmp_path: Path) -> None:
    written = []
    for name in ("hole", "zeros"):
        tree = small_tree(tmp_path / name)
        with (tree / "etc/file").open("wb") as file:
            file.write(b"start")
            if name == "hole":
                file.truncate(4 << 20)
            else:
                file.write(bytes((4 << 20) - 5))
        for path in (tree / "etc/file", tree / "etc/motd", tree / "etc", tree):
            os.utime(path, (1, 1))
        written.append(pack(tree, manifest(), tmp_path / f"{name}.out"))
    assert written[0] == written[1]
    assert written[0].uncompressed < 1 << 20


def test_large_files_have_frames_of_their_own(tmp_path: Path) -> None:
    """Else a change in a small file before it would change all of a large one's frames."""
    ends = []
    for size in (10, 5000):
        tree = small_tree(tmp_path / f"t{size}")
        (tree / "etc/motd").write_bytes(b"x" * size)
        (tree / "large").write_bytes(bytes(range(256)) * (FRAME * 2 // 256))
        os.utime(tree / "large", (1, 1))
        pack(tree, manifest(), tmp_path / "out")
        ends.append(split((tmp_path / "out").read_bytes())[2:])  # the manifest, what is small
    sizes = [[len(frame) for frame in end] for end in ends]
    assert len(sizes[0]) == 4  # two of the large file, the manifest's folders, the end
    assert ends[0] == ends[1], sizes


def split(data: bytes) -> list[bytes]:
    found = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        frame.decompress(data)
        found.append(data[: len(data) - len(frame.unused_data)])
        data = frame.unused_data
    return found


@pytest.mark.parametrize("name", ["var", "etc", "usr"])
def test_a_tree_that_no_reader_would_take_is_not_packed(tmp_path: Path, name: str) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / name).symlink_to("elsewhere")
    with pytest.raises(StageError, match=f"/{name}` must be a folder"):
        pack(tree, manifest(), tmp_path / "out")


def test_the_table_of_formats_is_whole() -> None:
    assert all(one.suffix == f".{name}" for name, one in FORMATS.items())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"/etc/passwd", "absolute"),
        (b"//etc", "absolute"),
        (b"../x", "`..`"),
        (b"./a/../../x", "`..`"),
        (b"a/..", "`..`"),
        (b"a\0b", "NUL"),
        (b"", "empty"),
        (b"x" * 256, "too long"),
        (b"x/" * 2048, "too long"),
        (b"x/" * (DEPTH + 1), "folders"),
    ],
)
def test_names_that_lead_astray_are_refused(name: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        parts_of(name)


def test_names_that_are_only_untidy_are_taken() -> None:
    assert parts_of(b"././usr//bin/./x/") == (b"usr", b"bin", b"x")
    assert parts_of(b"./") == parts_of(b".") == ()
    assert parts_of(b"...") == (b"...",)


BAD_ACLS = (
    b"",
    ACL[:-1],
    ACL[:-8],  # nobody said what others may
    ACL[:36] + ACL[44:],  # no mask
    ACL + ACL[-8:],
    b"\1" + ACL[1:],
    ACL[:6] + b"\x08" + ACL[7:],  # a right that there is not
    ACL[:16] + struct.pack("<I", 65536) + ACL[20:],
)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (member(kind=headers.CHAR), "device"),
        (member(kind=headers.BLOCK_DEVICE), "device"),
        (member(kind=b"S"), "kind"),
        (member(b"./", headers.SYMLINK, link=b"x"), "root"),
        (member(b"./var", headers.SYMLINK, link=b"tmp"), "must be a folder"),
        (member(b"proc"), "must be a folder"),
        (member(b"./x/"), "name of a folder"),
        (member(uid=65536), "owner"),
        (member(gid=1 << 40), "owner"),
        (member(kind=headers.FOLDER, size=1), "data"),
        (member(kind=headers.SYMLINK), "symbolic link"),
        (member(kind=headers.SYMLINK, link=b"a\0b"), "symbolic link"),
        (member(xattrs={"trusted.overlay.opaque": b"y"}), "attribute"),
        (member(xattrs={"user.overlay.opaque": b"y"}), "attribute"),
        (member(xattrs={"security.selinux": b"y"}), "attribute"),
        (member(xattrs={"security.capability2": b"y"}), "attribute"),
        (member(xattrs={"user.": b"y", "system.nfs4_acl": b""}), "attribute"),
        *((member(xattrs={"system.posix_acl_access": bad}), "access control") for bad in BAD_ACLS),
        (member(xattrs={"system.posix_acl_default": ACL}), "is no folder"),
        (member(xattrs={"security.capability": b"y"}), "capability"),
        (member(kind=headers.SYMLINK, link=b"x", xattrs={"user.a": b""}), "only files"),
    ],
)
def test_entries_that_could_do_harm_are_refused(one: TarMember, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        check(one)


def test_links_to_anywhere_are_fine_below_the_top() -> None:
    assert check(member(b"bin", headers.SYMLINK, link=b"usr/bin")) == (b"bin",)
    assert check(member(b"./etc/x", headers.SYMLINK, link=b"/../..")) == (b"etc", b"x")


def test_a_refused_name_can_do_nothing_to_a_terminal() -> None:
    assert shown(b"a\x1b[2Jb\xff") == "a\\x1b[2Jb\\xff"
    assert len(shown(b"x" * 4000)) == 200


def damaged(at: int, value: bytes) -> bytes:
    data = bytearray(encode(member()))
    data[at : at + len(value)] = value
    total = sum(data[:148]) + sum(data[156:512]) + 256
    data[148:156] = b"%06o\0 " % total
    return bytes(data)


def pax(records: bytes) -> bytes:
    note = encode(member(b"note", b"x", size=len(records)))
    return note + records + padding(len(records)) + encode(member()) + bytes(1024)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x" * 512, "number"),
        (encode(member())[:100] + b"9" + encode(member())[101:], "checksum"),
        (damaged(124, b"9" * 11), "number"),
        (damaged(124, b"\xff" * 12), "number"),
        (damaged(124, b"-1\0"), "number"),
        (pax(b"7 path=x\n"), "notes"),
        (pax(b"99 path=x\n"), "notes"),
        (pax(b"0 path=x\n"), "notes"),
        (pax(b"9 path=x"), "notes"),
        (pax(b"9999999999999999999999 path=x\n"), "notes"),
        (pax(b"13 mtime=inf\n"), "time"),
        (pax(b"13 mtime=1e9\n"), "time"),
        (pax(b"10 uid=-1\n"), "number"),
        (pax(b"22 GNU.sparse.major=0\n"), "sparse"),
        (encode(member(b"n", b"x", size=2 << 20)) + bytes(3 << 20), "1 MiB"),
        (encode(member(b"n", b"g", size=9)) + b"9 path=x\n" + padding(9), "all entries"),
    ],
)
def test_damaged_headers_are_told(data: bytes, why: str) -> None:
    with pytest.raises(TrustError, match=why):
        list(TarStream(iter([data, bytes(1024)]), Path("x"), most=64 << 20))


@pytest.mark.parametrize(
    ("runs", "size"),
    [([(0, 5), (4, 5)], 100), ([(90, 20)], 100), ([(10, 1), (0, 1)], 100)],
)
def test_sparse_maps_that_overlap_or_overrun_are_refused(
    runs: list[tuple[int, int]], size: int
) -> None:
    data = encode(member(size=size, runs=runs)) + bytes(512)
    with pytest.raises(TrustError, match="sparse"):
        list(TarStream(iter([data, bytes(1024)]), Path("x"), most=1 << 20))


@pytest.mark.parametrize("length", [0, 100, 512, 513, 1024])
def test_an_archive_without_its_end_is_not_whole(length: int) -> None:
    data = encode(member(size=512)) + b"d" * 512
    with pytest.raises(RecipeError, match="ends in the middle"):
        list(TarStream(iter([data[:length]]), Path("x"), most=1 << 20))
