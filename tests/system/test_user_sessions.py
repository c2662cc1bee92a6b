"""An ordinary user's command gets from a login session to where the user may have cgroups."""

import sys
from pathlib import Path

import msgspec

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.support.projects import project
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:runc", "program:conmon")

CHECKOUT = Path(__file__).parents[2]
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
LOG_IN = """\
loginctl enable-linger ann
for _ in $(seq 100); do [ -e /run/user/1005/bus ] && exit; sleep 0.1; done
systemctl status user@1005 >&2; exit 1
"""
ENTER = """\
import os, sys
from builder.host import hierarchies, sessions
sessions.enter()
print(hierarchies.delegated(), sys.argv[1:], os.environ.get("OVEN_IN_SCOPE"))
"""


def test_systemd_moves_it_below_the_users_manager(
    oven: Oven, built: Built, disk: Path, fresh_name: str
) -> None:
    built(SUITE)
    desk = project(disk / "desk", DESK, name="desk")
    oven("build", "--no-probe", desk)
    binds = ("--bind", f"{CHECKOUT}:/srv/oven:ro", "--bind", f"{LIBRARIES}:/srv/libraries:ro")
    user = ("--add-user", "ann,uid=1005")
    oven("run", "--name", fresh_name, "--network", "none", *user, *binds, "desk")

    def entered(*env: str) -> str:
        path = ("-e", "PYTHONPATH=/srv/oven:/srv/libraries")
        code = ("python3", "-c", ENTER, "given", "two words")
        return text(oven("exec", "-u", "ann", *path, *env, fresh_name, "--", *code).stdout)

    try:
        assert entered() == "None ['given', 'two words'] None\n", "nobody has logged in yet"
        oven("exec", fresh_name, "--", "sh", "-c", LOG_IN)
        manager = "/sys/fs/cgroup/user.slice/user-1005.slice/user@1005.service"
        assert entered() == f"{manager} ['given', 'two words'] None\n"
        as_su_leaves_it = ("-e", "XDG_RUNTIME_DIR=/run/user/0")
        assert entered(*as_su_leaves_it).startswith(manager)
    finally:
        oven("destroy", "--force", fresh_name)
        oven("template", "rm", "desk")
