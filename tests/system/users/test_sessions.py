"""What a host's systemd, and an ordinary user's own one, do for Oven: cgroups, units."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.builds.projects import project
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:runc", "program:conmon")

LIBRARIES = Path(msgspec.__file__).parents[1]
SUITE = "debian-trixie" if sys.version_info >= (3, 13) else "debian-bookworm"
"""Its Python is the one that our libraries were compiled for."""
DESK = f"""\
from = "{SUITE}"

[template]
name = "desk"
summary = "Where users log in"

[packages]
install = ["dbus-user-session", "libpam-systemd", "python3"]
"""
FIND_IT = r"""
printf '/srv/oven\n/srv/libraries\n' >/usr/lib/python3/dist-packages/oven.pth
"""
LOG_IN = """\
loginctl enable-linger ann
for _ in $(seq 100); do [ -e /run/user/1005/bus ] && exit; sleep 0.1; done
systemctl status user@1005 >&2; exit 1
"""
ENTER = """\
import os, sys
from builder.host.kernel import hierarchies, sessions
sessions.enter()
print(hierarchies.delegated(), sys.argv[1:], os.environ.get("OVEN_IN_SCOPE"))
"""

BY_ROOT_OF_A_NAMESPACE = """\
import ctypes, os, sys
from pathlib import Path
import msgspec
from builder.host.places import Places
from builder.host.units import systemd_of
from builder.runtime.lifecycle import autostart, control, create
from builder.runtime.history import schedule
from builder.runtime.record.container import Autostart, new_container
places, user = Places.of_user(), os.geteuid()
if user:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0
    Path("/proc/self/setgroups").write_text("deny")
    for kind in "ug":
        Path(f"/proc/self/{kind}id_map").write_text(f"0 {user} 1")
systemd = systemd_of(places)
if sys.argv[1] == "begin":
    container = new_container("one", "sha256:" + "ab" * 32, "none")
    container = msgspec.structs.replace(container, rootfs="/srv", autostart=Autostart())
    create.create(places, container)
    schedule.write(places, "one", schedule.Schedule(every=3600, keep=2))
    for _ in range(2):
        autostart.hold(places, systemd)
else:
    control.destroy(places, "one")
print(autostart.settle(places, systemd), schedule.settle(places, systemd), sep="\\n")
"""
STATES = """\
for unit in oven.service oven-snapshot.timer oven-stop.service; do
    systemctl $1 show -P LoadState -P UnitFileState -P ActiveState $unit | tr '\\n' ' '
done
"""


@pytest.fixture(scope="module")
def desk(oven: Oven, built: Built, disk: Path) -> Iterator[str]:
    """Give a template where users log in."""
    built(SUITE)
    recipe = project(disk / "desk", DESK, name="desk")
    oven("build", "--no-probe", recipe)
    yield "desk"
    oven("template", "rm", "desk")


@pytest.fixture
def inside(oven: Oven, desk: str, fresh_name: str) -> Iterator[Callable[..., str]]:
    """Run a command as a user of a machine on which Oven is there, and somebody called ann."""
    binds = ("--bind", f"{CHECKOUT}:/srv/oven:ro", "--bind", f"{LIBRARIES}:/srv/libraries:ro")
    user = ("--add-user", "ann,uid=1005")
    oven("run", "--name", fresh_name, "--network", "none", *user, *binds, desk)

    def run(user: str, *words: str) -> str:
        return text(oven("exec", "-u", user, fresh_name, "--", *words).stdout)

    try:
        run("root", "sh", "-c", FIND_IT)
        yield run
    finally:
        oven("destroy", "--force", fresh_name)


def test_systemd_moves_it_below_the_users_manager(inside: Callable[..., str]) -> None:
    def entered(*env: str) -> str:
        return inside("ann", "env", *env, "python3", "-c", ENTER, "given", "two words")

    assert entered() == "None ['given', 'two words'] None\n", "nobody has logged in yet"
    inside("root", "sh", "-c", LOG_IN)
    manager = "/sys/fs/cgroup/user.slice/user-1005.slice/user@1005.service"
    assert entered() == f"{manager} ['given', 'two words'] None\n"
    assert entered("XDG_RUNTIME_DIR=/run/user/0").startswith(manager), "as su leaves it"


@pytest.mark.parametrize(
    ("user", "units", "manager"),
    [
        ("root", "/etc/systemd/system", "--system"),
        ("ann", "/home/ann/.config/systemd/user", "--user"),
    ],
)
def test_systemd_takes_units(
    inside: Callable[..., str], user: str, units: str, manager: str
) -> None:
    inside("root", "sh", "-c", LOG_IN)

    def settled(what: str) -> list[str]:
        return inside(user, "python3", "-c", BY_ROOT_OF_A_NAMESPACE, what).splitlines()

    def asked(script: str) -> str:
        runtime = "export XDG_RUNTIME_DIR=/run/user/$(id -u)"
        return inside(user, "sh", "-ec", f"{runtime}; {script}", "sh", manager)

    assert settled("begin") == [
        f"wrote and enabled `{units}/oven.service`",
        f"wrote and enabled `{units}/oven-snapshot.timer`",
    ]
    assert asked(STATES) == "loaded inactive enabled loaded active enabled loaded active transient "
    # It stops all containers; there are no ids here that ann could be given for that.
    result = asked("systemctl $1 stop oven-stop; systemctl $1 show -P Result oven-stop")
    assert result == ("success\n" if user == "root" else "exit-code\n")
    assert settled("end") == ["None", "None"]
    assert asked(f"systemctl $1 reset-failed; {STATES}") == "not-found inactive  " * 3
