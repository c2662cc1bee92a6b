"""What an earlier version has left is used as if nothing had happened: here are files of 0.1.0."""

from pathlib import Path

import pytest

from builder.host.places import Places
from builder.model.lock import Package
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import Digest
from builder.runtime.access.exec import capture
from builder.runtime.history import schedule, snapshots
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control
from builder.runtime.recovery import tasks
from builder.stages.install import INSTALL, Installation
from builder.templates.local import Templates
from tests.support.containers.rig import Rig
from tests.support.needs import needs

TEMPLATE = "ab" * 32
LIMITS = (
    '{"cpus":null,"disk":null,"inodes":null,"memory":null,"pids":200,"read-bytes":null,'
    '"read-operations":null,"swap":null,"weight":null,"write-bytes":null,"write-operations":null}'
)
CONTAINER = {
    "container.json": '{"address-key":"","autostart":{"delay":0.0,"order":3},"binds":[],'
    '"created":1796025341,"first-id":604176384,"hostname":"test","init":"other","interfaces":[],'
    f'"layers":["96a4bcfaca13"],"limits":{LIMITS},"name":"test","ports":[],"protected":false,'
    '"remove":false,"restart":"on-failure","rootfs":"","template":"sha256:' + TEMPLATE + '",'
    '"template-name":"tiny","uuid":"10045a5672ae4fe0d4ba27d0bba05ff4","version":1}',
    "end.json": '{"code":3,"time":1796025310}',
    "schedule.json": '{"every":3600,"keep":2,"version":1}',
    "snapshots/one.json": '{"created":1796025341.895535,"kind":"asked","layers":["96a4bcfaca13"],'
    f'"limits":{LIMITS},"running":false,"template":"sha256:{TEMPLATE}","template-name":"tiny",'
    '"version":1}',
    "layers/96a4bcfaca13/kept": "kept",
    "upper/later": "later",
}
MANIFEST = (
    '{"arch":"amd64","distro":"debian","epoch":1795834380,"lock":"sha256:' + "ce" * 32 + '",'
    '"name":"tiny","oven":"0.1.0","packages":[{"arch":"all","name":"adduser","version":"3.134"}],'
    '"parameters":{},"ports":[],"recipe":"sha256:' + "cd" * 32 + '","suite":"bookworm",'
    '"summary":"Debian 12, minimal","tarball":null,"version":1}'
)


@pytest.fixture
def rig(rig: Rig) -> Rig:
    home = rig.places.data / "containers/test"
    for name, text in CONTAINER.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "work").mkdir()
    return rig


@needs("root", "program:runc", "program:conmon")
def test_a_container(rig: Rig) -> None:
    seen = show.show(rig.places, "test")
    assert (seen.container.limits.pids, seen.exit_code, seen.status) == (200, 3, "stopped")
    control.start(rig.places, "test", Silent())
    assert capture(rig.places, "test", ("sh", "-c", "cat /kept /later"))[1] == "keptlater"
    control.stop(rig.places, "test", timeout=1)
    assert list(snapshots.listed(rig.places, "test")) == ["one"]
    assert schedule.read(rig.places, "test") == schedule.Schedule(every=3600, keep=2)
    snapshots.restore(rig.places, "test", "one", discard=True)
    assert not (rig.places.data / "containers/test/upper/later").exists()


TASK = (
    '{"boot":"","pid":0,"runs":true,"started":0,"trial":{"automatic":[],"back":false,"failed":[],'
    '"install":["hello"],"libraries":true,"remove":[],"snapshot":"before-upgrade","start":true,'
    '"template":"tiny","timeout":60.0}}'
)


def test_an_upgrade_that_was_cut_off(tmp_path: Path) -> None:
    places = Places(data=tmp_path, cache=tmp_path, runtime=tmp_path, settings=())
    (tmp_path / "containers/test").mkdir(parents=True)
    (tmp_path / "containers/test/task.json").write_text(TASK)
    task = tasks.read(places, "test")
    assert task is not None
    assert task.trial is not None
    assert (task.trial.install, task.trial.libraries) == (("hello",), True)


def test_a_template(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    (folder / TEMPLATE / "rootfs/etc").mkdir(parents=True)
    (folder / TEMPLATE / "manifest.json").write_text(MANIFEST)
    (folder / "names").mkdir()
    (folder / "names/web.json").write_text('{"digest":"sha256:' + TEMPLATE + '"}')
    found = Templates(tmp_path).find("web")
    assert (found.manifest.name, found.names) == ("tiny", ("web",))


def test_a_cache() -> None:
    """The key under which a stage is remembered, by inputs that the earlier version gave it."""
    package = Package(
        name="nginx-light",
        version="1.22.1-9",
        arch="amd64",
        size=1000,
        sha256="a" * 64,
        path="pool/main/n/nginx.deb",
        archive="debian",
        layer="web",
    )
    inputs = Installation(
        tree=Digest("sha256:" + "b" * 64),
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        packages=(package,),
        plain=True,
        epoch=1700000000,
    )
    assert INSTALL.key(inputs) == (
        "sha256:bb392abffc924449ff5a990148751a75309b9b5f8fc0c8a9f8d91b7ae55b51cc"
    )
