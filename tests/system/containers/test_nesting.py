"""Containers inside of containers, made by what people use: docker, podman, bubblewrap."""

from collections.abc import Iterator

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = [needs("root", "archive", "program:conmon", "program:runc"), pytest.mark.slow]

PACKAGES = (
    "bubblewrap busybox-static dbus-user-session debootstrap docker{dot}io fuse-overlayfs"
    " libpam-systemd nftables passt podman slirp4netns uidmap"
).format(dot=".")
IMAGE = "mkdir -p /img/bin; cp /bin/busybox /img/bin; ln -s busybox /img/bin/sh; "
AS_USER = "su - ann -c 'XDG_RUNTIME_DIR=/run/user/1000; export XDG_RUNTIME_DIR; {}'"


class Guest:
    """A container with these programs."""

    def __init__(self, oven: Oven, name: str) -> None:
        self.oven = oven
        self.name = name

    def __call__(self, script: str) -> str:
        return text(self.oven("exec", self.name, "--", "sh", "-c", script).stdout)


@pytest.fixture(scope="module", params=["debian-bookworm", "debian-trixie"])
def guest(request: pytest.FixtureRequest, oven: Oven, built: Built) -> Iterator[Guest]:
    built(request.param)
    name = f"nesting-{request.param}"
    features = [f"--feature={one}" for one in ("nesting", "fuse", "tun")]
    oven("run", request.param, "--name", name, "--memory", "2G", *features)
    made = Guest(oven, name)
    packages = f"{PACKAGES} docker-cli" if "trixie" in name else PACKAGES
    install = "apt-get install -y --no-install-recommends"
    made(f"apt-get update; DEBIAN_FRONTEND=noninteractive {install} {packages}")
    made(IMAGE)
    yield made
    oven("destroy", "--force", name)


def test_docker(guest: Guest) -> None:
    guest("tar -C /img -c . | docker import - own")
    assert guest("docker run --rm own /bin/sh -c 'echo here'") == "here\n"


def test_podman(guest: Guest) -> None:
    guest("tar -C /img -c . | podman import - own")
    run = "podman run --rm --pids-limit 0 --network none own"
    assert guest(f"{run} /bin/sh -c 'echo here'") == "here\n"


def test_podman_of_an_ordinary_user(guest: Guest) -> None:
    guest("useradd --create-home --uid 1000 ann; loginctl enable-linger ann")
    guest("echo ann:10000:50000 | tee /etc/subuid >/etc/subgid")
    guest(AS_USER.format("tar -C /img -c . | podman import - own"))
    run = AS_USER.format('podman run --rm --pids-limit 0 --network none own /bin/sh -c "echo here"')
    assert guest(run) == "here\n"


def test_bubblewrap(guest: Guest) -> None:
    box = "bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all"
    assert guest(f"setpriv --reuid 65534 --clear-groups {box} id -u") == "65534\n"


def test_debootstrap(guest: Guest) -> None:
    mirror = guest("grep -rhoE 'https?://[^ ]+' /etc/apt/sources.list* | head -n1").strip()
    known = "container=lxc " if "bookworm" in guest.name else ""
    guest(f"{known}debootstrap --variant=minbase bookworm /srv/tree {mirror}")
    assert guest("chroot /srv/tree /bin/echo here") == "here\n"
