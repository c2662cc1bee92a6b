"""A tree of another architecture, made and run here; some minutes of emulation."""

import shutil
import subprocess
from pathlib import Path

import pytest

from builder.distros import MirrorSettings, distro
from builder.host.network.downloads import Net
from builder.host.programs import Command, on_host
from builder.host.sandbox.sandbox import Sandbox, inside
from builder.model.lock import Asked, Lock
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import Digest
from builder.stages.bootstrap import BOOTSTRAP, BaseInputs, bootstrap_inputs
from builder.stages.fetch import fetch
from builder.stages.resolve import resolve
from builder.stages.stage import make
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.builds.projects import TINY, project
from tests.support.hosts.namespace import folder_of, in_namespace, ordinary_user
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = [needs("root", "archive", "program:qemu-aarch64-static"), pytest.mark.slow]


def bake(inputs: BaseInputs, store: Store, user: str) -> Digest:
    tools = Tools(store, on_host, Net(Silent()), Silent(), 2)
    return in_namespace(lambda: make(BOOTSTRAP, inputs, tools, slot="bake"), user=user).tree


def prepared(folder: Path) -> tuple[Lock, BaseInputs, Store]:
    """Fetch Debian's minimum for arm64."""
    asked = Asked(
        distro="debian", suite="bookworm", arch=Arch.ARM64, components=("main",), layers=()
    )
    sources = distro("debian").sources(asked, MirrorSettings(), folder)
    store = Store(folder)
    tools = Tools(store, on_host, Net(Silent()), Silent(), 2)
    lock = resolve(asked, sources, tools)
    fetch(lock.packages, sources.mirrors, tools, recipe="tiny")
    return lock, bootstrap_inputs(lock, sources, "native", on_host), store


def keep_all(lock: Lock, source: Path, target: Path) -> None:
    """Put packages into a store of one's own."""
    store = Store(target)
    for package in lock.packages:
        with store.draft() as draft:
            shutil.copy(source / package.sha256, draft / "deb")
            store.keep_blob(draft / "deb", package.sha256)


def test_the_same_tree_for_root_and_an_ordinary_user_and_it_runs(oven: Oven, disk: Path) -> None:
    lock, inputs, store = prepared(oven.home / "cache")
    ours = bake(inputs, store, "root")

    tree = store.tree(ours)
    assert tree
    copy = disk / "arm64"
    subprocess.run(["cp", "-al", tree, copy], check=True)
    run = inside(Sandbox(root=copy, arch=Arch.ARM64))

    def programs() -> list[tuple[int, bytes]]:
        commands = (("/bin/true",), ("/bin/false",), ("/bin/uname", "-m"))
        done = [run(Command(argv)) for argv in commands]
        return [(one.code, one.stdout) for one in done]

    assert in_namespace(programs) == [(0, b""), (1, b""), (0, b"aarch64\n")]

    with ordinary_user("oven-foreign") as user, folder_of(user) as folder:
        debs = folder / "debs"
        debs.mkdir()
        for package in lock.packages:
            blob = store.blob(package.sha256)
            assert blob
            shutil.copy(blob, debs / package.sha256)
        in_namespace(lambda: keep_all(lock, debs, folder / "store"), user=user)
        theirs = in_namespace(lambda: Store(folder / "store"), user=user)
        assert bake(inputs, theirs, user) == ours


def test_a_template_for_another_architecture(oven: Oven, disk: Path) -> None:
    recipe = project(disk / "foreign", f'{TINY}arch = ["amd64", "arm64"]\n')
    said = oven.said("build", recipe, "--arch", "arm64", "-o", disk)
    assert "built tiny for arm64" in said
    argv = ["tar", "--zstd", "--extract", "--to-stdout", "--file"]
    argv += [str(disk / "tiny_arm64.tar.zst"), "./usr/bin/true"]
    true = subprocess.run(argv, capture_output=True, check=True).stdout
    assert true[18:20] == b"\xb7\x00"  # e_machine: EM_AARCH64
