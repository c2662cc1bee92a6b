"""Packages whose maintainer scripts fail, leave a daemon behind, or try to get out."""

import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.builds.escapes import RESULT, Secret
from tests.support.builds.miniature import World, small_recipe, small_world
from tests.support.hosts.processes import running
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Deb, Mirror, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

Make = Callable[..., World]

FAILS = {"postinst": "#!/bin/sh\necho one\necho 'the moon is out of reach' >&2\nexit 3\n"}
WORKS = {"postinst": "#!/bin/sh\nexit 0\n"}
LINGERS = {
    "postinst": """#!/bin/sh
cd /var/lib
setsid sleep 313371 &
setsid sh -c 'trap "" HUP TERM INT; exec 3>/var/lib/held; sleep 313372' </dev/null >/dev/null 2>&1 &
sh -c 'sleep 313373 & setsid sleep 313374 &'
echo made >/etc/lingers
"""
}
LAYERS = ["base", "added"]


@pytest.fixture
def make(disk: Path, miniature: tuple[Archive, Mirror]) -> Iterator[Make]:
    """Give a function that makes a world whose archive has one more package, in a layer."""
    small, _ = miniature
    folder = disk / f"scripts-{os.urandom(3).hex()}"
    folder.mkdir()
    with ExitStack() as stack:

        def world(layer: str, deb: Deb, *more: Deb) -> World:
            fields = "Priority: required" if layer == "base" else ""
            odd = Deb(deb.name, fields, deb.version, scripts=deb.scripts, tree=deb.tree)
            archive = small.grown(folder / "archive", odd, *more)
            mirror = stack.enter_context(serve(archive.root))
            wanted = ("plain",) if layer == "base" else ("plain", deb.name)
            return small_world(folder / "world", archive, mirror, *wanted)

        yield world
    shutil.rmtree(folder)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_script_that_fails_is_shown_and_nothing_is_kept(make: Make, layer: str) -> None:
    world = make(layer, Deb("moon", scripts=FAILS), Deb("sun", scripts=WORKS))
    before = Traces.of(world.home)
    seen = world.build()
    assert seen.code == 6
    assert "error: " in seen.stderr
    assert "moon" in seen.stderr.partition("error: ")[2].splitlines()[0]
    assert "the moon is out of reach" in seen.stderr
    assert "command: bwrap " in seen.stderr
    assert "Traceback" not in seen.stderr
    assert left_over(world.home, before) == {}
    assert world.wrong() == []
    assert not list(world.out.iterdir())
    if layer == "added":
        small_recipe(world.folder, "plain", "sun")
        assert world.build().code == 0
    else:
        mend(world, "moon")
        assert world.build().code == 0
    assert world.wrong() == []


def mend(world: World, name: str) -> None:
    """Put another version into the archive, and have it found."""
    mended = Deb(name, "Priority: required", "2.0", scripts=WORKS)
    copy = world.archive.grown(world.folder / "mended", mended)
    shutil.rmtree(world.archive.root)
    copy.root.rename(world.archive.root)
    shutil.rmtree(world.home / "cache/locks")
    shutil.rmtree(world.home / "cache/apt")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_daemon_that_a_script_starts_ends_with_it(make: Make, layer: str) -> None:
    world = make(layer, Deb("daemon", scripts=LINGERS))
    before = Traces.of(world.home)
    seen = world.build()
    assert seen.code == 0, seen.stderr
    assert not [pid for number in range(1, 5) for pid in running("sleep", f"31337{number}")]
    assert left_over(world.home, before) == {}
    assert world.wrong() == []
    assert in_template(world, "./etc/lingers") == b"made\n"


def in_template(world: World, path: str) -> bytes:
    """Give a file of the template that was built."""
    argv = ["tar", "--zstd", "-xOf", str(world.out / "small_amd64.tar.zst"), path]
    return subprocess.run(argv, check=True, capture_output=True).stdout


@pytest.mark.parametrize("layer", LAYERS)
def test_a_script_cannot_get_out(make: Make, disk: Path, layer: str) -> None:
    secret = Secret.make(disk)
    witness = subprocess.Popen(["sleep", "600"])
    try:
        with serve(disk) as server:
            port = urlsplit(server.url).port
            assert port
            script = secret.script(port=port, host_pid=witness.pid)
            world = make(layer, Deb("hostile", scripts={"postinst": script}))
            seen = world.build()
            assert seen.code == 0, seen.stderr
            assert witness.poll() is None
            assert in_template(world, RESULT).decode().splitlines() == ["nothing"]
            assert server.requests == []
            assert not secret.path.with_name("secret.new").exists()
            assert secret.path.read_text() == secret.token
    finally:
        witness.send_signal(signal.SIGKILL)
        witness.wait()


def test_a_preinst_cannot_lead_the_next_one_out(make: Make, disk: Path) -> None:
    outside = disk / f"outside-{os.urandom(3).hex()}"
    outside.mkdir()
    lead = f"#!/bin/sh\nmv /var/lib/dpkg /var/lib/real\nln -s {outside} /var/lib/dpkg\n"
    first = Deb("a-first", scripts={"preinst": lead})
    second = Deb("b-second", "Priority: required", scripts={"preinst": "#!/bin/sh\nexit 0\n"})
    world = make("base", first, second)
    seen = world.build()
    assert list(outside.iterdir()) == []
    assert seen.code == 6, seen.stderr
    assert "a bug in oven" not in seen.stderr


def test_a_package_cannot_be_unpacked_through_its_own_link(make: Make, disk: Path) -> None:
    outside = disk / f"outside-{os.urandom(3).hex()}"
    outside.mkdir()
    world = make("added", Deb("docs", version="0"))
    hostile = through_link(world, outside)
    (world.archive.root / "debian/pool/main/bookworm/hostile_1_all.deb").write_bytes(hostile)
    world.archive.index("bookworm")
    small_recipe(world.folder, "plain", "hostile")
    seen = world.build()
    assert list(outside.iterdir()) == []
    assert seen.code == 6, seen.stderr
    assert "hostile" in seen.stderr


def through_link(world: World, outside: Path) -> bytes:
    """Make a package with a link to the outside and a file below that link."""
    folder = world.folder / "hostile"
    folder.mkdir()
    control = "Package: hostile\nVersion: 1\nArchitecture: all\nMaintainer: N <n@example.invalid>\n"
    (folder / "control").write_text(control + "Description: hostile\n")
    (folder / "debian-binary").write_text("2.0\n")
    with tarfile.open(folder / "control.tar", "w") as tar:
        tar.add(folder / "control", "./control")
    with tarfile.open(folder / "data.tar", "w") as tar:
        link = tarfile.TarInfo("./out")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        tar.add(folder / "control", "./out/file")
    names = ["debian-binary", "control.tar", "data.tar"]
    subprocess.run(["ar", "rc", "hostile.deb", *names], cwd=folder, check=True)
    return (folder / "hostile.deb").read_bytes()
