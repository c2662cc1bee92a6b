"""Commands of recipes at the first boot, in real containers."""

from pathlib import Path

import pytest

from tests.support.builds.projects import project
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = [
    needs("root", "archive", "program:conmon", "program:runc"),
    pytest.mark.usefixtures("nothing_left"),
]

RECIPE = """\
from = "debian-bookworm"

[template]
name = "first"

[[first-boot]]
name = "early"
run = "early"

[[first-boot]]
name = "key"
run = ["/bin/sh", "-c", "cat /proc/sys/kernel/random/uuid >/etc/own-id"]
makes = ["/etc/own-id"]

[[first-boot]]
name = "late"
run = ["/bin/sh", "-c", "systemctl is-active dbus.socket >/root/late"]
after = ["dbus.socket"]

[[script]]
path = "leave"
"""
EARLY = """\
#!/bin/sh
echo "the early one has begun"
systemctl is-active basic.target >>/root/early
test ! -e /root/fail
"""
LATER = "systemctl show -P ConditionResult oven-first-boot-early oven-first-boot-key"


def recipe(folder: Path, text: str) -> Path:
    path = project(folder, text, name="first")
    (path.parent / "first").mkdir(exist_ok=True)
    for name, script in (("early", EARLY), ("leave", "#!/bin/sh\necho shared >/etc/own-id\n")):
        file = path.parent / "first" / name
        file.write_text(script)
        file.chmod(0o755)
    return path


def test_they_run_once_in_each_container(
    oven: Oven, built: Built, fresh_name: str, tmp_path: Path
) -> None:
    built("debian-bookworm")
    assert "probe first: running" in oven.said("build", recipe(tmp_path, RECIPE))
    ids = set()
    for name in (fresh_name, f"{fresh_name}-b"):
        oven("run", "first", "--name", name, "--network", "none")
        ids.add(oven("exec", name, "--", "cat", "/etc/own-id").stdout)
    assert len(ids) == 2
    oven("restart", fresh_name)
    seen = text(oven("exec", fresh_name, "--", "cat", "/root/early", "/root/late").stdout)
    assert seen == "inactive\nactive\n"
    assert oven("exec", fresh_name, "--", "cat", "/etc/own-id").stdout in ids
    results = oven("exec", fresh_name, "--", "sh", "-c", LATER)
    assert text(results.stdout).split() == ["no"] * 2
    said = oven("exec", f"{fresh_name}-b", "--", "journalctl", "-u", "oven-first-boot-early")
    assert "the early one has begun" in text(said.stdout)
    oven("destroy", "--force", fresh_name, f"{fresh_name}-b")


def test_a_failure_is_a_failed_unit(oven: Oven, built: Built, tmp_path: Path) -> None:
    built("debian-bookworm")
    path = recipe(tmp_path, RECIPE.replace('run = "early"', 'run = ["false"]'))
    said = oven.said("build", path, code=6)
    assert "oven-first-boot-early.service" in said
    path = recipe(
        tmp_path, RECIPE.replace('run = "early"', 'run = ["sleep", "60"]\ntimeout = "1s"')
    )
    assert "oven-first-boot-early.service" in oven.said("build", path, code=6)


def test_a_program_that_makes_nothing_and_ends_well_is_a_failed_unit(
    oven: Oven, built: Built, tmp_path: Path
) -> None:
    built("debian-bookworm")
    told = """\
from = "debian-bookworm"

[template]
name = "first"

[[script]]
path = "leave"
"""
    path = recipe(tmp_path, told)
    script = "#!/bin/sh\necho shared >/etc/hostid\nln -s /bin/true /usr/sbin/zgenhostid\n"
    (path.parent / "first/leave").write_text(script)
    said = oven.said("build", path, code=6)
    assert "oven-host-id.service failed" in said
    assert "ExecStartPost=/usr/bin/test -s /etc/hostid" in said


@pytest.mark.parametrize(
    ("line", "problem", "at"),
    [
        ('run = ["no-such"]', "there is no program `no-such` in the tree", "first.toml:8"),
        ("run = []", "there is nothing to run", "first.toml:8"),
        ('run = "gone"', "there is no script `gone`", "first.toml:8"),
        ('run = "early"\nbefore = ["a.service"]', "before all services without", "first.toml:9"),
        ('run = "early"\nmakes = ["/"]', "`/` would be removed", "first.toml:9"),
    ],
)
def test_a_mistake_is_shown_where_it_is(
    oven: Oven, built: Built, tmp_path: Path, line: str, problem: str, at: str
) -> None:
    built("debian-bookworm")
    code = 2
    said = oven.said(
        "build", "--no-probe", recipe(tmp_path, RECIPE.replace('run = "early"', line)), code=code
    )
    assert problem in said
    assert at in said
