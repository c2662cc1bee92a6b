"""Copying into containers and out of them: what arrives, whose it is, and what never leads out."""

import ctypes
import io
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from builder.host.kernel import mounts
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import load
from tests.support.containers.rig import Rig
from tests.support.needs import needs
from tests.support.oven import Oven, text

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

pytestmark = needs("root", "program:runc", "program:conmon")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


@pytest.fixture(params=["stopped", "running"])
def both(request: pytest.FixtureRequest, rig: Rig) -> Rig:
    if request.param == "running":
        control.start(rig.places, "test", Silent())
    return rig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of each that can be copied."""
    top = tmp_path / "folder"
    (top / "sub/deep").mkdir(parents=True)
    (top / "file").write_text("content")
    os.chown(top / "file", 33, 44)
    (top / "file").chmod(0o4751)
    os.setxattr(top / "file", "user.note", b"kept")
    os.utime(top / "file", (1_000_000_000, 1_000_000_000))
    os.link(top / "file", top / "sub/same")
    (top / "sub/link").symlink_to("/etc/passwd")
    (top / "sub/deep/na\udcffme").write_bytes(b"\0")
    with (top / "sparse").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    os.mkfifo(top / "fifo")
    return top


def upper(rig: Rig, path: str) -> Path:
    """Give where the container's own files lie, with the ids that it counts."""
    return rig.places.data / "containers/test/upper" / path


def test_there_and_back(both: Rig, oven: Oven, folder: Path, tmp_path: Path) -> None:
    said = oven("cp", folder, "test:/srv-new")
    assert text(said.stderr) == "left out `fifo`: not a file, a folder or a link\n"
    copied = upper(both, "srv-new")
    status = (copied / "file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, 0o751)
    assert status.st_mtime == 1_000_000_000
    assert status.st_nlink == 2
    assert (copied / "sparse").stat().st_blocks < 1000
    assert (copied / "sub/link").readlink() == Path("/etc/passwd")
    oven("cp", "test:/srv-new", tmp_path / "back")
    (folder / "fifo").unlink()
    done = subprocess.run(["diff", "-r", "--no-dereference", folder, tmp_path / "back"])
    assert done.returncode == 0
    assert (tmp_path / "back/file").stat().st_uid == 0


def test_archive_keeps_owners_and_bits(both: Rig, oven: Oven, folder: Path, tmp_path: Path) -> None:
    oven("cp", "-a", folder, "test:/kept")
    status = upper(both, "kept/file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (33, 44, 0o4751)
    assert os.getxattr(upper(both, "kept/file"), "user.note") == b"kept"
    oven("cp", "--archive", "test:/kept", tmp_path / "back")
    status = (tmp_path / "back/file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (33, 44, 0o4751)
    oven("cp", "test:/kept/file", tmp_path / "plain")
    status = (tmp_path / "plain").stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o751), "no set-id bits unasked"


@pytest.mark.parametrize(
    ("owner", "expected"), [("ann", (1000, 1000)), ("7:9", (7, 9)), ("ann:staff", (1000, 50))]
)
def test_owner(both: Rig, oven: Oven, folder: Path, owner: str, expected: tuple[int, int]) -> None:
    oven("cp", "--owner", owner, folder, "test:/owned")
    for path in ("owned", "owned/sub/link", "owned/file"):
        status = upper(both, path).lstat()
        assert (status.st_uid, status.st_gid) == expected


def test_names_of_targets_are_as_with_cp(rig: Rig, oven: Oven, folder: Path) -> None:
    oven("cp", folder / "file", "test:/tmp")
    assert upper(rig, "tmp/file").exists()
    oven("cp", folder / "file", "test:/tmp/other")
    assert upper(rig, "tmp/other").exists()
    oven("cp", folder, "test:/tmp/")
    assert upper(rig, "tmp/folder/file").exists()
    oven("cp", f"{folder}/.", "test:/tmp/inner")
    assert upper(rig, "tmp/inner/file").exists()
    oven("cp", folder / "sub", "test:/tmp/folder")
    assert upper(rig, "tmp/folder/sub/deep").exists()
    assert "no folder" in oven.said("cp", folder / "file", "test:/absent/", code=7)
    assert "not there" in oven.said("cp", folder / "file", "test:/absent/file", code=7)
    assert "not there" in oven.said("cp", "test:/absent", folder, code=7)
    assert "not a folder" in oven.said("cp", f"{folder}/file/", "test:/tmp", code=2)
    assert "neither" in oven.said("cp", folder, folder, code=2)
    assert "no container" in oven.said("cp", folder, "other:/", code=7)
    oven("cp", folder / "file", "test:/tmp/folder/sub", code=0)
    assert "cannot copy" in oven.said("cp", folder, "test:/tmp/other", code=3)


def test_tar_streams(both: Rig, oven: Oven, folder: Path) -> None:
    stream = oven("cp", f"{folder}/.", "test:/one").stdout
    stream = oven("cp", "test:/one", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        assert "one/sub/deep/na\udcffme" in archive.getnames()
        assert (archive.getmember("one/file").uid, archive.getmember("one/file").size) == (0, 7)
    oven("cp", "-", "test:/tmp", stdin=stream)
    assert upper(both, "tmp/one/file").read_text() == "content"
    assert upper(both, "tmp/one/sub/link").is_symlink()
    assert "no tar" in oven.said("cp", "-", "test:/tmp", code=2)


def tarball(*members: tuple[str, bytes, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o6755
            archive.addfile(member)
    return made.getvalue()


def test_a_second_name_in_a_stream_replaces_what_is_there(both: Rig, oven: Oven) -> None:
    data = tarball(("file", tarfile.REGTYPE, ""), ("name", tarfile.LNKTYPE, "file"))
    for _ in range(2):
        oven("cp", "-", "test:/tmp", stdin=data)
        assert upper(both, "tmp/name").samefile(upper(both, "tmp/file"))
    assert sorted(path.name for path in upper(both, "tmp").iterdir()) == ["file", "name"]


def test_hostile_tar_streams_stay_inside(both: Rig, oven: Oven, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    data = tarball(
        ("out", tarfile.SYMTYPE, str(outside)),
        ("out/evil", tarfile.REGTYPE, ""),
        ("device", tarfile.CHRTYPE, ""),
    )
    subprocess.run(
        oven.line("cp", "-", "test:/tmp"), input=data, env=oven.environment, cwd=oven.cwd
    )
    data = tarball(("../../evil", tarfile.REGTYPE, ""))
    oven("cp", "-", "test:/tmp", stdin=data, code=2)
    assert list(outside.iterdir()) == []
    assert not upper(both, "tmp/device").exists()


@pytest.mark.parametrize(
    ("source", "target"),
    [("/one", "/one/sub/deep"), ("/one/.", "/one"), ("/one", "/"), ("/one/.", "/one/sub/new")],
)
def test_a_folder_is_not_copied_into_itself(
    both: Rig, oven: Oven, folder: Path, source: str, target: str
) -> None:
    (folder / "fifo").unlink()
    oven("cp", folder, "test:/one")
    said = oven.said("cp", f"test:{source}", f"test:{target}", code=2)
    assert "into itself" in said
    every = sorted(path.name for path in upper(both, "one").rglob("*") if path.name != "new")
    assert every == sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("time", ["nan", "inf", "-1e300", "1e300"])
def test_a_stream_with_a_time_that_is_none_is_refused(rig: Rig, oven: Oven, time: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("file")
        member.pax_headers = {"mtime": time}
        archive.addfile(member)
    done = oven("cp", "-", "test:/tmp", stdin=made.getvalue(), code=5)
    assert b"has a time that is none" in done.stderr
    assert not upper(rig, "tmp/file").exists()


def test_a_stream_may_say_a_time_before_1970(rig: Rig, oven: Oven) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("file")
        member.mtime = -86400
        archive.addfile(member)
    oven("cp", "-", "test:/tmp", stdin=made.getvalue())
    assert upper(rig, "tmp/file").stat().st_mtime == -86400


def test_an_owner_that_nobody_can_be_becomes_nobody(both: Rig, oven: Oven) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, uid in (("below", -1), ("above", 65536)):
            member = tarfile.TarInfo(name)
            member.uid = uid
            archive.addfile(member)
    oven("cp", "-a", "-", "test:/tmp", stdin=made.getvalue())
    assert [upper(both, f"tmp/{name}").stat().st_uid for name in ("below", "above")] == [65534] * 2


def test_a_guest_that_nests_folders_without_end_is_refused(rig: Rig, oven: Oven) -> None:
    here = os.open(upper(rig, ""), os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    for target in ("-", "test:/copy"):
        assert "nested deeper" in oven.said("cp", "test:/deep", target, code=3)


def test_a_stream_out_goes_on_where_files_come_and_go(rig: Rig, oven: Oven) -> None:
    control.start(rig.places, "test", Silent())
    churn = "cd /tmp; while :; do for n in 1 2 3 4 5 6 7 8 9; do echo > $n; rm $n; done; done"
    guest = oven.start("exec", "test", "--", "sh", "-c", churn)
    try:
        while not upper(rig, "tmp/1").exists():
            assert guest.poll() is None
        for _ in range(8):
            stream = oven("cp", "test:/tmp", "-").stdout
            with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
                assert archive.getnames()[0] == "tmp"
    finally:
        guest.kill()
        guest.communicate()


def test_between_containers(rig: Rig, oven: Oven, folder: Path) -> None:
    create.create(rig.places, rig.container("other"))
    oven("cp", "-a", folder, "test:/one")
    oven("cp", "-a", "test:/one", "other:/two")
    status = (rig.places.data / "containers/other/upper/two/file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (33, 44, 0o4751)
    control.start(rig.places, "other", Silent())
    oven("cp", "other:/two", "test:/three")
    assert upper(rig, "three/sub/same").read_text() == "content"
    oven("cp", "test:/three", "test:/four")
    assert upper(rig, "four/file").exists()


def test_links_of_a_container_lead_nowhere_else(both: Rig, oven: Oven, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    for name, target in (("abs", outside), ("dots", f"../../../../../../..{outside}")):
        source = tmp_path / name
        source.symlink_to(target)
        oven("cp", source, f"test:/{name}")
        oven("cp", f"test:/{name}/secret", tmp_path / "stolen", code=7)
        oven("cp", source, f"test:/{name}/new", code=7)
        oven("cp", f"test:/{name}", tmp_path / f"{name}-copied")
        assert (tmp_path / f"{name}-copied").is_symlink(), "the link itself"
    assert sorted(os.listdir(outside)) == ["secret"]


def test_a_guest_that_swaps_folders_for_links_gains_nothing(
    rig: Rig, oven: Oven, tmp_path: Path
) -> None:
    outside, source = tmp_path / "outside", tmp_path / "source"
    for made in (outside / "sub", source / "sub"):
        made.mkdir(parents=True)
    (outside / "sub/secret").write_text("secret")
    for number in range(30):
        (source / f"sub/new{number}").write_text("x")
    control.start(rig.places, "test", Silent())
    current = state.read(rig.places, "test")
    assert current
    root = Path(f"/proc/{current.pid}/root/tmp")
    first = load(rig.places, "test").first_id
    with mounts.file_owner(first):
        (root / "swapped/sub").mkdir(parents=True)
        (root / "other").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        renameat2 = ctypes.CDLL(None).renameat2
        here, there = os.fsencode(root / "swapped"), os.fsencode(root / "other")
        while not over.is_set():
            assert renameat2(_AT_FDCWD, here, _AT_FDCWD, there, _RENAME_EXCHANGE) == 0

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(6):
            for words in (
                (f"{source}/.", "test:/tmp/swapped"),
                ("test:/tmp", str(tmp_path / f"out{number}")),
                ("test:/tmp/swapped/sub", str(tmp_path / f"deep{number}")),
            ):
                argv = oven.line("cp", *words)
                done = subprocess.run(
                    argv, capture_output=True, env=oven.environment, cwd=oven.cwd, timeout=60
                )
                assert b"Traceback" not in done.stderr
                assert b"bug" not in done.stderr
    finally:
        over.set()
        swapping.join()
    assert sorted(os.listdir(outside / "sub")) == ["secret"]
    assert sorted(os.listdir(outside)) == ["sub"]
    copies = [path for path in tmp_path.glob("*[0-9]/**/*") if path.name == "secret"]
    assert copies == []
