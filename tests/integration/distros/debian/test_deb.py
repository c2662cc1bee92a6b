"""Package files: taken apart as dpkg-deb does it, and refused by name when they are hostile."""

import io
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.distros.debian.database import UnpackedPackage
from builder.distros.debian.link import UnlinkableError, link_packages
from builder.distros.debian.package.deb import DebError, control_files
from builder.distros.debian.package.unpack import expand
from builder.model.errors import StageError
from builder.store import Store
from tests.support.needs import needs
from tests.support.trees.base_trees import EPOCH, keep_package

pytestmark = needs("root", "program:dpkg-deb")

CONTROL = (
    "Package: x\nVersion: 1.0\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: x\n"
)


def build(folder: Path, *options: str) -> Path:
    """Make a package in which everything that packages may hold occurs."""
    root = folder / "x"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(CONTROL)
    (root / "DEBIAN/postinst").write_text("#!/bin/sh\nexit 0\n")
    (root / "DEBIAN/postinst").chmod(0o755)
    (root / "usr/share/x").mkdir(parents=True)
    (root / "usr/share/x/random").write_bytes(os.urandom(1 << 20))
    (root / "usr/share/x/zeros").write_bytes(bytes(5 << 20))
    (root / "usr/share/x/na\u00efve name").write_text("1")
    (root / "usr/share/x/same").hardlink_to(root / "usr/share/x/zeros")
    (root / "usr/share/x/link").symlink_to("/etc/passwd")
    (root / "usr/share/x/set").write_text("1")
    (root / "usr/share/x/set").chmod(0o4755)
    os.chown(root / "usr/share/x/random", 12, 34)
    for path in (root, *root.rglob("*")):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    deb = folder / "x_1_all.deb"
    subprocess.run(
        ["dpkg-deb", *options, "--build", str(root), str(deb)], check=True, capture_output=True
    )
    return deb


def listed(folder: Path) -> list[tuple[object, ...]]:
    """Give all that can be seen of what is below a folder."""
    found: list[tuple[object, ...]] = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: str | bytes = b""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        name, many = str(path.relative_to(folder)), status.st_nlink if path.is_file() else 1
        owner = (status.st_uid, status.st_gid)
        found.append((name, status.st_mode, owner, status.st_mtime_ns, many, content))
    return found


@pytest.mark.parametrize("kind", ["none", "gzip", "xz", "zstd"])
@pytest.mark.parametrize("uniform", ["--uniform-compression", "--no-uniform-compression"])
def test_a_package_is_taken_apart_as_by_dpkg_deb(kind: str, uniform: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    deb = build(tmp_path, f"-Z{kind}", uniform)
    (expanded,) = expand([keep_package(deb, store, name="x")], store, jobs=1)
    for option, folder in (("--extract", "root"), ("--control", "control")):
        theirs = tmp_path / folder
        subprocess.run(["dpkg-deb", option, str(deb), str(theirs)], check=True)
        assert listed(expanded.folder / folder) == listed(theirs)


def ar(folder: Path, *members: tuple[str, bytes]) -> bytes:
    """Put members into an archive with the program for it."""
    folder.mkdir(exist_ok=True)
    for name, data in members:
        (folder / name).write_bytes(data)
    names = [name for name, _ in members]
    subprocess.run(["ar", "rcD", "made.deb", *names], cwd=folder, check=True)
    return (folder / "made.deb").read_bytes()


def tar(*entries: tarfile.TarInfo) -> bytes:
    """Write a tar file; files hold as many zeros as they say."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for one in entries:
            made.addfile(one, io.BytesIO(bytes(one.size)))
    return buffer.getvalue()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = ""
) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.size, one.linkname = kind, size, link
    return one


GOOD = (entry("./control", size=3),)
VERSION = ("debian-binary", b"2.0\n")


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([VERSION], "there is no control.tar"),
        ([VERSION, ("control.tar", tar(*GOOD))], "there is no data.tar"),
        ([VERSION, ("control.tar.lz", b"x")], "compressed in a way that is not known"),
        ([VERSION, ("control.tar.xz", b"x")], "damaged control.tar.xz"),
        ([VERSION, ("control.tar.xz", b"")], "ends too early"),
        ([VERSION, ("control.tar.gz", b"x" * 20)], "damaged control.tar.gz"),
        ([VERSION, ("control.tar.zst", b"x" * 9)], "damaged zstd data"),
        ([VERSION, ("control.tar", b"x" * 600)], "damaged control files"),
        ([VERSION, ("control.tar", tar())], "there is no control file"),
        ([VERSION, ("control.tar", tar(entry("../x")))], "`../x` is no control file"),
        ([VERSION, ("control.tar", tar(entry("/etc/x")))], "`/etc/x` is no control file"),
        ([VERSION, ("control.tar", tar(entry("list")))], "`list` is no control file"),
        (
            [VERSION, ("control.tar", tar(entry("control", tarfile.SYMTYPE, link="/etc/passwd")))],
            "`control` is no control file",
        ),
        ([VERSION, ("control.tar", tar(entry("control", size=65 << 20)))], "too large"),
        (
            [VERSION, ("control.tar", tar(*GOOD)), ("data.tar", tar(entry("../escaped")))],
            "contains '..'",
        ),
        ([VERSION, ("control.tar", tar(*GOOD)), ("data.tar", b"x" * 600)], "not look like a tar"),
    ],
)
def test_hostile_packages_are_refused_by_name(
    members: Sequence[tuple[str, bytes]], told: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    deb = tmp_path / "hostile.deb"
    deb.write_bytes(ar(tmp_path / "members", *members))
    package = keep_package(deb, store, name="x")
    with pytest.raises(StageError, match=r"cannot unpack the package `x` 1\.0") as caught:
        expand([package], store, jobs=1)
    assert told in caught.value.output
    assert store.expanded(package.sha256) is None
    assert not list(tmp_path.rglob("escaped"))
    assert list((store.root / "drafts").iterdir()) == []


def test_links_do_not_lead_out_of_a_package(tmp_path: Path) -> None:
    """A link, then a file below it: the file must not land where the link leads."""
    store, outside = Store(tmp_path / "store"), tmp_path / "outside"
    outside.mkdir()
    data = tar(entry("./out", tarfile.SYMTYPE, link=str(outside)), entry("./out/file", size=1))
    deb = tmp_path / "hostile.deb"
    deb.write_bytes(
        ar(tmp_path / "members", VERSION, ("control.tar", tar(*GOOD)), ("data.tar", data))
    )
    with pytest.raises(StageError, match="cannot unpack"):
        expand([keep_package(deb, store, name="x")], store, jobs=1)
    assert list(outside.iterdir()) == []


def test_a_name_that_looks_like_two_is_left_to_dpkg(tmp_path: Path) -> None:
    store, deb = Store(tmp_path / "store"), tmp_path / "odd.deb"
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w") as made:
        made.addfile(entry("control", size=len(CONTROL)), io.BytesIO(CONTROL.encode()))
    members = (VERSION, ("control.tar", control.getvalue()), ("data.tar", tar(entry("./a\nb"))))
    deb.write_bytes(ar(tmp_path / "members", *members))
    unpacked = [
        UnpackedPackage(one) for one in expand([keep_package(deb, store, name="x")], store, jobs=1)
    ]
    with pytest.raises(UnlinkableError, match="an odd name"):
        link_packages(unpacked, tmp_path / "tree", "amd64")


@pytest.mark.parametrize("kind", ["none", "gzip", "xz", "zstd"])
def test_a_package_that_is_cut_off_is_refused(kind: str, tmp_path: Path) -> None:
    whole = build(tmp_path, f"-Z{kind}").read_bytes()
    cut = tmp_path / "cut.deb"
    for length in (*range(0, 400, 37), len(whole) // 2, len(whole) - 100):
        cut.write_bytes(whole[:length])
        store = Store(tmp_path / f"store{length}")
        with pytest.raises(StageError, match="cannot unpack"):
            expand([keep_package(cut, store, name="x")], store, jobs=1)


def test_a_file_that_is_no_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_text("not a package")
    with pytest.raises(DebError, match="not a Debian package file"):
        control_files(tmp_path / "x.deb")
