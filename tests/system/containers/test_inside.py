"""What administrators do inside of system containers, in guests of each release that is shipped."""

from collections.abc import Iterator

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc")


class Guest:
    """A container that has booted."""

    def __init__(self, oven: Oven, name: str) -> None:
        self.oven = oven
        self.name = name

    def __call__(self, script: str, code: int = 0) -> str:
        return text(self.oven("exec", self.name, "--", "sh", "-c", script, code=code).stdout)


@pytest.fixture(scope="module", params=["debian-bookworm", "debian-trixie"])
def guest(request: pytest.FixtureRequest, oven: Oven, built: Built) -> Iterator[Guest]:
    built(request.param)
    name = f"inside-{request.param}"
    oven("run", request.param, "--name", name, "--network", "none", "--memory", "512M",
         "--volume", f"{name}:/srv/its own-data")  # fmt: skip
    yield Guest(oven, name)
    oven("destroy", "--force", name)
    oven("volume", "rm", name)


def test_units_have_their_credentials(guest: Guest) -> None:
    run = "systemd-run -q --wait --pipe -p ProtectSystem=strict -p PrivateTmp=yes"
    read = "sh -c 'cat $CREDENTIALS_DIRECTORY/key'"
    assert guest(f"{run} -p SetCredential=key:secret {read}") == "secret"
    guest("printf %s loaded >/root/key")
    assert guest(f"{run} -p LoadCredential=key:/root/key {read}") == "loaded"


def test_units_see_what_is_mounted_later(guest: Guest) -> None:
    guest("systemd-run -q --unit later -p PrivateTmp=yes -p ProtectHome=no sleep infinity")
    guest("mkdir -p /srv/m; mount -t tmpfs none /srv/m; touch /srv/m/there")
    pid = guest("systemctl show -P MainPID later").strip()
    assert guest(f"ls /proc/{pid}/root/srv/m") == "there\n"
    guest("umount /srv/m; systemctl stop later")


def test_memory_that_systemd_gives_out_fits(guest: Guest) -> None:
    told = guest("systemd-analyze cat-config systemd/logind.conf | grep ^RuntimeDirectorySize")
    assert int(told.split("=")[1]) < 512 << 20
    if "tmpfs" in guest("stat -f -c %T /tmp"):
        assert guest("df --output=size -B1M /tmp | tail -n1").strip() == "256"


def test_the_journal_tells_boots_apart(guest: Guest) -> None:
    guest.oven("restart", guest.name)
    ids = guest("journalctl --list-boots --quiet --no-pager | awk '{print $2}'").split()
    assert len(ids) == len(set(ids)) > 1
    assert guest("journalctl --boot=-1 --quiet --no-pager -n1 -o cat") != ""


def test_it_stops_without_an_error(guest: Guest) -> None:
    """Above all it does not try to unmount what is there before it, such as volumes."""
    guest.oven("restart", guest.name)
    assert guest("findmnt -n -o TARGET '/srv/its own-data'") != ""
    assert guest("journalctl --boot=-1 --priority=err --quiet --no-pager") == ""


def test_a_host_name_of_systemd_stays(guest: Guest) -> None:
    guest("hostnamectl set-hostname by-hand || { hostname by-hand; echo by-hand >/etc/hostname; }")
    guest.oven("restart", guest.name)
    assert guest("hostname; grep -c '127.0.1.1 by-hand$' /etc/hosts") == "by-hand\n1\n"


def test_no_unit_has_failed(guest: Guest) -> None:
    assert guest("systemctl --failed --no-legend --plain") == ""


@pytest.mark.slow  # what it needs comes from the archive
@pytest.mark.parametrize("package", ["systemd-resolved", "network-manager"])
@pytest.mark.parametrize("release", ["debian-bookworm", "debian-trixie"])
def test_names_and_addresses_stay(oven: Oven, built: Built, release: str, package: str) -> None:
    built(release)
    name = f"names-{package}-{release.removeprefix('debian-')}"
    oven("run", release, "--name", name)
    guest = Guest(oven, name)
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
    guest(f"apt-get update; {install} {package}")
    addresses = guest("ip -br address show eth0 | awk '{print $3}'")
    for _ in range(2):
        guest(f"getent hosts {name} && apt-get update -o APT::Update::Error-Mode=any")
        assert guest("ip -br address show eth0 | awk '{print $3}'") == addresses
        assert guest("systemctl is-system-running --wait") == "running\n"
        oven("restart", name)
    oven("destroy", "--force", name)


def test_who_enters_logs_in(guest: Guest) -> None:
    guest("echo LANG=C.UTF-8 >/etc/default/locale; useradd -m -s /bin/bash ann 2>&1 || true")
    script = b"id -un; pwd; echo $LANG $MAIL; exit 3\n"

    def entered(*options: str) -> list[str]:
        done = guest.oven("enter", guest.name, *options, code=3, stdin=script)
        return text(done.stdout).splitlines()

    assert entered("-u", "ann") == ["ann", "/home/ann", "C.UTF-8 /var/mail/ann"]
    assert entered() == ["root", "/root", "C.UTF-8 /var/mail/root"]
    assert entered("-u", "ann", "--no-login") == ["ann", "/home/ann", ""]


@pytest.mark.slow  # what it needs comes from the archive
@pytest.mark.parametrize("release", ["debian-bookworm", "debian-trixie"])
def test_who_enters_has_a_session(oven: Oven, built: Built, release: str) -> None:
    built(release)
    name = f"session-{release.removeprefix('debian-')}"
    oven("run", release, "--name", name)
    guest = Guest(oven, name)
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
    guest(f"apt-get update; {install} dbus-user-session libpam-systemd; useradd -m ann")
    script = b"echo $XDG_RUNTIME_DIR; systemctl --user is-active default.target\n"
    done = oven("enter", name, "-u", "ann", stdin=script)
    assert text(done.stdout) == "/run/user/1000\nactive\n"
    oven("destroy", "--force", name)
