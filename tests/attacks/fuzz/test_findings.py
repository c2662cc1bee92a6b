"""What random bytes have found in readers of what strangers write: each input is refused by name.

The threat model promises that nothing of that kind ends in a bug, without end, or without memory.
`./check --fuzz` looks for more.
"""

import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from builder.distros.debian.archive.indexes import Index
from builder.distros.debian.archive.pockets import Pocket, epoch_of, release_field
from builder.distros.debian.deb822 import fields_of
from builder.distros.debian.package import deb
from builder.distros.debian.package.members import Ceiling, MembersError, watched
from builder.distros.rpm import metadata
from builder.distros.rpm.metadata import Metadata, parse
from builder.formats.container import MOST_RECORD, RECORD, Reader
from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember, encode
from builder.formats.tar.unpack import newest_time
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError, OvenError, StageError, TrustError, UpstreamError
from builder.model.lock import Release
from builder.runtime.bundle.accounts import Accounts
from builder.runtime.lifecycle import create
from builder.runtime.record import state
from builder.stages.tree.secrets import refuse_traces
from tests.support.containers.rig import Rig, rig_in, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven
from tests.support.packages.hostile_debs import member, tar
from tests.support.packages.rpm_metadata import PRIMARY, repository
from tests.support.trees.tar_blocks import FIRST, head, notes, sparse

END = bytes(1024)
STUCK = 20
"""Seconds, of what takes less than one."""
HUGE = 9_999_999_999_999_999_999
"""More than the kernel counts up to."""

STREAMS = {
    "a NUL in a name": notes({b"path": b"a\0b"}) + head("x", headers.FILE, 0),
    "a NUL in a target": notes({b"linkpath": b"a\0b"}) + head("x", headers.SYMLINK, 0),
    "larger than any file can be": sparse(1, b"0\n0\n", HUGE),
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path / "home", tiny_tree(tmp_path / "tiny")) as rig:
        create.create(rig.places, rig.container())
        yield rig


@needs("root", "program:runc", "program:conmon")
def test_streams_with_what_no_file_can_have_are_refused(rig: Rig) -> None:
    """Names with a NUL, and sizes that are none."""
    oven = Oven(rig.places.data)
    for what, stream in STREAMS.items():
        said = oven("cp", "-", "test:/tmp", stdin=stream + END, code=5).stderr.decode()
        assert "not a sound tar" in said, what


ATTRIBUTES = {
    b"user.": b"x",
    b"user." + b"n" * 300: b"x",
    b"user.a\0b": b"x",
    b"user.large": b"x" * 70_000,
    b"security.capability": (0x02000003).to_bytes(4, "little") + bytes(16),
}


@needs("root")
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_that_no_file_can_have_are_refused(tmp_path: Path, name: bytes) -> None:
    """Extended attributes that the kernel would not take."""
    entry = notes({b"SCHILY.xattr." + name: ATTRIBUTES[name]}) + head("./x", headers.FILE, 0)
    source = tmp_path / "source.tar.zst"
    source.write_bytes(zstandard.compress(FIRST + entry + END))
    oven = Oven(tmp_path / "home")
    said = oven.said("template", "import", source, code=5)
    assert any(word in said for word in ("attribute", "NUL", "capability"))
    assert oven.json("template", "list") == []


@needs("root")
@pytest.mark.parametrize("size", [1 << 62, HUGE])
def test_no_layer_has_a_file_that_no_disk_keeps(tmp_path: Path, size: int) -> None:
    """A sparse file in an exported container, larger than the file system lets one be."""
    source, target = tmp_path / "source", tmp_path / "target"
    target.mkdir()
    entry = notes(
        {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
         b"GNU.sparse.name": b"upper/x", b"GNU.sparse.realsize": b"%d" % size}
    ) + head("x", headers.FILE, 512) + b"1\n0\n0\n".ljust(512, b"\0")  # fmt: skip
    top = encode(TarMember(name=b"upper/", kind=headers.FOLDER, mode=0o755, uid=0, gid=0, mtime=0))
    source.write_bytes(zstandard.compress(top + entry + END))
    with source.open("rb") as file, pytest.raises(TrustError):
        Reader(file, source, most=1 << 30).layers(target, frozenset({b"upper"}))


def test_a_record_in_an_archive_does_not_fill_the_memory(tmp_path: Path) -> None:
    """An exported container whose record lists millions of layers, each a word of three bytes."""
    source = tmp_path / "source"
    size = 20 << 20
    data = encode(
        TarMember(name=RECORD, kind=headers.FILE, mode=0o600, uid=0, gid=0, mtime=0, size=size)
    )
    source.write_bytes(zstandard.compress(data + b'"a",' * (size // 4) + END))
    assert size > MOST_RECORD
    with source.open("rb") as file, pytest.raises(TrustError, match="too large"):
        Reader(file, source, most=1 << 30).record()


def test_no_member_of_a_package_leads_back_to_itself() -> None:
    """A size of less than nothing, as GNU tar writes numbers below zero."""
    block = bytearray(tar([member("./control")])[:512])
    block[124:136] = (-512).to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(MembersError, match="below zero"):
        list(watched([bytes(block) + END], Ceiling(1 << 20, 1000, 1 << 20)))


@pytest.mark.parametrize("date", ["", "yesterday", "Sat, 01 Jan 99999 00:00:00 UTC"])
def test_an_index_without_a_date_is_told(date: str) -> None:
    """A Release file that is signed, and whose date is none."""
    release = Release(archive="x", suite="x", sha256="0" * 64, date=date, signed_by=())
    with pytest.raises(UpstreamError, match="date that is none"):
        epoch_of([release])


@pytest.mark.parametrize(
    "packages",
    [b"\nProvides: x\n", b"\nEssential: yes\n", b"Package: \xff\n\n", b"\n\nPackage: \xff\n"],
)
def test_an_index_of_odd_packages_is_read(tmp_path: Path, packages: bytes) -> None:
    """What belongs to no package, and names that are no text."""
    path = tmp_path / "Packages"
    path.write_bytes(packages)
    assert Index([Pocket("debian", "x", path, (path,))]).seeds() == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("SHA256", b"/etc/crontab"),
        ("SHA256", b"\xff" * 64),
        ("Filename", b"/../x"),
        ("Size", b"9" * 5000),
        ("Size", b"0"),
        ("Architecture", b"\xff"),
    ],
)
def test_an_index_describes_what_can_be(tmp_path: Path, field: str, value: bytes) -> None:
    """Hashes, paths and sizes of a package that would become names of files."""
    fields = {"Architecture": b"all", "Filename": b"x", "Size": b"1", "SHA256": b"0" * 64}
    fields[field] = value
    path = tmp_path / "Packages"
    lines = (b"%b: %b\n" % (name.encode(), text) for name, text in fields.items())
    path.write_bytes(b"Package: web\nVersion: 1\n" + b"".join(lines))
    index = Index([Pocket("debian", "x", path, (path,))])
    try:
        found = index.package("web", "1", "base", requested=True)
    except UpstreamError:
        return
    assert (found.path, found.sha256) == ("x", "0" * 64)
    assert found.size < 10**18


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_metadata_declares_nothing_in_any_encoding(encoding: str) -> None:
    """Entities, hidden from who looks for them by two bytes for each letter."""
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY e "boom">]><x>&e;</x>'
    with pytest.raises(UpstreamError):
        parse(text.encode(encoding))


@pytest.mark.parametrize("ending", [".gz", ".zst", ".xz", ".bz2"])
def test_metadata_that_is_damaged_or_absent_is_told(tmp_path: Path, ending: str) -> None:
    """Compressed data with a wrong end, and a list of packages that is not there."""
    packed = zlib.compressobj(wbits=31)
    data = packed.compress(PRIMARY) + packed.flush()
    broken = data[:30] + b"\xff" * 20 + data[50:] if ending == ".gz" else b"BZh91AY&SY\xff"
    with pytest.raises(UpstreamError, match="damaged"):
        repository(tmp_path, broken, ending)
    (tmp_path / f"repodata/primary.xml{ending}").unlink()
    with pytest.raises(UpstreamError, match="damaged"):
        Metadata(tmp_path)


def test_metadata_does_not_unpack_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of packages that would take a gigabyte, and one that is cut at the ceiling."""
    monkeypatch.setattr(metadata, "_LARGEST", 1 << 20)  # or the test itself would take as much
    with pytest.raises(UpstreamError, match="more than 1 MiB"):
        repository(tmp_path, zstandard.compress(PRIMARY + bytes(2 << 20)), ".zst")


@pytest.fixture
def soon() -> Iterator[None]:
    """End a test that would go on for hours."""

    def stuck(*_: object) -> None:
        raise AssertionError("it never ends")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(STUCK)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("soon")
def test_what_grows_line_by_line_ends_soon() -> None:
    """A field of two million lines, and one of as many spaces."""
    lines = " \n" * (2 << 20)
    assert fields_of(f"Package: x\n{lines}")["package"].startswith("x\n ")
    data = b"Suite: a" + b" " * (1 << 20) + b"b \n"
    assert len(release_field(data, "Suite")) == (1 << 20) + 2


@pytest.mark.usefixtures("soon")
def test_what_has_no_data_ends_soon(tmp_path: Path) -> None:
    """Notes about all entries, and members of a package file, that are empty and without end."""
    source = tmp_path / "source.tar.zst"
    source.write_bytes(zstandard.compress(head("x", b"g", 0) * 200_000 + END))
    with pytest.raises(TrustError, match="notes about all entries"):
        newest_time(source, strip=0)
    member = f"{'_':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{0:<10}`\n".encode()
    (tmp_path / "x.deb").write_bytes(b"!<arch>\n" + member * 200_000)
    with (tmp_path / "x.deb").open("rb") as file:
        with pytest.raises(deb.DebError, match=r"no data\.tar"):
            deb._find(file, "data.tar")
        assert file.tell() < 1 << 20


def test_no_description_of_a_package_fills_the_memory() -> None:
    """Millions of elements, each of which takes a hundred bytes."""
    with pytest.raises(UpstreamError, match="in one"):
        parse(b"<x>" + b"<a/>" * (1 << 20) + b"</x>")


def test_folders_without_end_are_told_where_secrets_are_looked_for(tmp_path: Path) -> None:
    """What a build script leaves: 300 folders, each in the one before."""
    (tmp_path / ("d/" * 300)).mkdir(parents=True)
    with pytest.raises(StageError, match="nested too deeply"):
        refuse_traces(tmp_path, {"key": b"a secret value"})


@needs("root")
def test_a_damaged_record_of_a_template_is_told(tmp_path: Path) -> None:
    """A manifest that lost all but its name on the disk."""
    oven = Oven(tmp_path)
    folder = tmp_path / "templates" / ("ab" * 32)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"name": "x"}')
    said = oven.said("template", "list", code=HostError.exit_code)
    assert "the record of the template `x` is damaged" in said
    oven("template", "rm", "ab" * 6)
    assert oven.json("template", "list") == []


@needs("root")
@pytest.mark.parametrize("data", [b"\x80", b"1" * 5000, "²".encode()])
def test_an_exit_status_that_is_none_is_left_out(tmp_path: Path, data: bytes) -> None:
    """What the monitor was about to write when the machine lost its power."""
    places = Places(tmp_path, tmp_path, tmp_path, ())
    (tmp_path / "containers/web/exit").mkdir(parents=True)
    (tmp_path / "containers/web/exit/web").write_bytes(data)
    assert state.exit_code(places, "web") is None


@needs("root")
def test_a_container_that_has_taken_all_ids_is_told(tmp_path: Path) -> None:
    """A table of 60,000 users, in which a first boot finds no place for another."""
    (tmp_path / "etc").mkdir()
    rows = (f"u{number}:x:{number}:{number}::/:/bin/sh\n" for number in range(60_000))
    (tmp_path / "etc/passwd").write_text("".join(rows))
    with TreeIO(tmp_path) as tree, pytest.raises(OvenError, match="are taken"):
        Accounts(tree, 0).add("new", None, "/bin/sh")
