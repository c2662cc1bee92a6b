"""Programs of another architecture: run by qemu, without a change to the machine."""

import platform
import struct
from pathlib import Path

import pytest

from builder.cli.building.build import Options, _build
from builder.cli.building.choosing import wanted_of
from builder.cli.building.workplace import Workplace
from builder.host.network.downloads import Net
from builder.host.places import Places
from builder.host.programs import Command, on_host
from builder.host.sandbox import binfmt
from builder.host.sandbox.binfmt import is_foreign, require_programs_of
from builder.host.sandbox.sandbox import Sandbox, inside
from builder.model.errors import HostError
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.settings import Archive, Settings
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.builds.projects import TINY, project
from tests.support.hosts.namespace import folder_of, in_child, in_namespace, ordinary_user
from tests.support.needs import needs
from tests.support.packages.archive import dead_url

FOREIGN = Arch.ARM64 if platform.machine() == "x86_64" else Arch.AMD64

needs_qemu = needs("root", "program:bwrap", "program:unshare", "program:qemu-aarch64-static")


def ending(status: int) -> bytes:
    """Make the smallest ELF file whose arm64 code ends with a status (elf(5))."""
    load, size = 0x400000, 64 + 56
    code = struct.pack(
        "<3I",
        0xD2800000 | status << 5,  # mov x0, #status
        0xD2800BA8,  # mov x8, #93: exit
        0xD4000001,  # svc #0
    )
    whole = size + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<HHIQQQIHHHHHH", 2, 0xB7, 1, load + size, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, load, load, whole, whole, 0x1000)
    return ident + head + segment + code


def tree(folder: Path) -> Path:
    """Make a tree that has nothing but two programs."""
    for name in ("bin", "dev", "proc", "etc", "sys"):
        (folder / name).mkdir()
    for name, status in (("true", 0), ("answer", 42)):
        (folder / "bin" / name).write_bytes(ending(status))
        (folder / "bin" / name).chmod(0o755)
    return folder


def codes(root: Path, arch: Arch | None) -> list[int]:
    run = inside(Sandbox(root=root, arch=arch))
    return [run(Command((f"/bin/{name}",))).code for name in ("true", "answer")]


@needs_qemu
def test_the_first_one_and_more(tmp_path: Path) -> None:
    root = tree(tmp_path)
    assert in_namespace(lambda: codes(root, Arch.ARM64)) == [0, 42]


@needs_qemu
def test_for_an_ordinary_user() -> None:
    with ordinary_user("oven-foreign") as user, folder_of(user) as folder:
        root = in_child(lambda: tree(folder), user=user)
        assert in_namespace(lambda: codes(root, Arch.ARM64), user=user) == [0, 42]


@needs_qemu
def test_the_machine_itself_is_left_alone(tmp_path: Path) -> None:
    """Its own table stays as it was, and who does not ask for emulation has none."""

    def table() -> list[str]:
        return sorted(path.name for path in Path("/proc/sys/fs/binfmt_misc").glob("*"))

    if not is_foreign(Arch.ARM64):
        pytest.skip("this machine runs arm64 programs for everybody")
    before, root = table(), tree(tmp_path)

    def both() -> list[int]:
        return [*codes(root, Arch.ARM64), *codes(root, None)]

    with_and_without = in_namespace(both)
    assert with_and_without[:2] == [0, 42]
    assert with_and_without[2] == with_and_without[3] != 0
    assert table() == before


@needs_qemu
def test_who_owns_a_file_is_the_same_inside(tmp_path: Path) -> None:
    def maps() -> tuple[str, str]:
        known = binfmt.emulation(Arch.ARM64)
        assert known
        argv = ("nsenter", f"--user=/proc/self/fd/{known.namespace}", "cat", "/proc/self/uid_map")
        there = on_host(Command(argv, pass_fds=(known.namespace,))).stdout.decode()
        return Path("/proc/self/uid_map").read_text(), there

    ours, theirs = in_namespace(maps)
    assert ours.split() == theirs.split() != []


@pytest.fixture
def without_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binfmt, "FORMATS", tmp_path)
    monkeypatch.setattr(binfmt, "_runs", lambda arch: False)


@pytest.mark.usefixtures("without_qemu")
def test_qemu_is_missing() -> None:
    with pytest.raises(HostError, match=f"cannot run the programs of `{FOREIGN}`") as caught:
        require_programs_of(FOREIGN)
    assert caught.value.hint == "apt-get install qemu-user-static"


@pytest.mark.usefixtures("without_qemu")
def test_qemu_is_missed_before_anything_is_downloaded(tmp_path: Path) -> None:
    recipe = project(tmp_path, f'{TINY}arch = ["amd64", "arm64"]\n')
    settings = Settings(
        archive={
            name: Archive(mirrors=(f"{dead_url()}/{name}",))
            for name in ("debian", "debian-security")
        }
    )
    places = Places(tmp_path, tmp_path / "cache", tmp_path / "run", ())
    tools = Tools(Store(places.cache), on_host, Net(Silent()), Silent(), 2)
    with pytest.raises(HostError, match=f"cannot run the programs of `{FOREIGN}`"):
        _build(
            wanted_of((str(recipe),), (), (), FOREIGN)[0],
            Options(locked=False, probe=False, driver="native", output=None),
            Workplace(places, settings, tools),
        )
    assert not (places.cache / "apt").exists()
