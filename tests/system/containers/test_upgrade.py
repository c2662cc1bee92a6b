"""An administrator's year: changes by hand, a new template under them, one that fails, and a recipe
of what was done by hand."""

import json
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
name = "service"
summary = "A small service"
"""
PACKAGES = '\n[packages]\ninstall = ["openssh-server"]\n'
LINES = [f"line {number}\n" for number in range(20)]
BROKEN = "[Service]\nType=oneshot\nExecStart=/bin/false\n"


class Project:
    """A recipe whose overlay changes from version to version."""

    def __init__(self, oven: Oven, folder: Path) -> None:
        self.oven, self.folder = oven, folder
        self.recipe = project(folder, RECIPE, name="service")

    def put(self, path: str, content: str) -> None:
        file = self.recipe.parent / "service/overlay" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def build(self) -> None:
        self.oven("build", "--no-probe", self.recipe)


@pytest.mark.slow
def test_a_year(oven: Oven, built: Built, tmp_path: Path, fresh_name: str) -> None:
    built("debian-bookworm")
    service = Project(oven, tmp_path)
    service.put("usr/share/service/version", "1\n")
    service.put("etc/service.conf", "".join(LINES))
    service.build()
    oven("run", "service", "--name", fresh_name)
    try:
        changed_by_hand(oven, fresh_name)
        a_new_version(service, fresh_name)
        a_broken_version(service, fresh_name)
        a_way_back(oven, fresh_name)
        a_copy(oven, fresh_name, tmp_path)
        a_recipe_of_it(oven, fresh_name, tmp_path)
        packages_again(service, fresh_name)
    finally:
        oven("destroy", "--force", fresh_name)


def inside(oven: Oven, name: str, script: str) -> str:
    return text(oven("exec", name, "--", "sh", "-c", script).stdout)


def changed_by_hand(oven: Oven, name: str) -> None:
    assert text(oven("diff", name).stdout) == "", "nothing that a boot leaves counts"
    script = "sed -i 's/^line 3$/mine/' /etc/service.conf; useradd --create-home joe; "
    inside(oven, name, script + "rm /etc/issue; echo hand > /etc/by-hand")
    rows = {row["path"]: row["what"] for row in json.loads(oven("diff", name, "--json").stdout)}
    assert rows["etc/service.conf"] == "changed"
    assert (rows["etc/issue"], rows["etc/by-hand"]) == ("deleted", "added")
    patch = text(oven("diff", name, "--patch").stdout)
    assert "\n  -line 3\n  +mine\n" in patch


def a_new_version(service: Project, name: str) -> None:
    oven = service.oven
    assert text(oven("upgrade", name).stdout) == f"{name} is up to date\n"
    service.put("usr/share/service/version", "2\n")
    service.put("etc/service.conf", "".join([*LINES[:17], "theirs\n", *LINES[18:]]))
    service.recipe.write_text(RECIPE + PACKAGES)
    service.build()
    foreseen = json.loads(oven("upgrade", name, "--dry-run", "--json").stdout)
    assert foreseen["upgraded"] is False
    done = json.loads(oven("upgrade", name, "--json").stdout)
    assert done["files"] == foreseen["files"]
    verdicts = {row["path"]: row["verdict"] for row in done["files"]}
    assert verdicts["etc/service.conf"] == verdicts["etc/passwd"] == "merged"
    assert verdicts["usr/share/service/version"] == verdicts["usr/sbin/sshd"] == "updated"
    assert verdicts["etc/by-hand"] == verdicts["etc/issue"] == "kept"
    said = inside(oven, name, "cat /usr/share/service/version; sed -n '4p;18p' /etc/service.conf")
    assert said == "2\nmine\ntheirs\n"
    assert inside(oven, name, "getent passwd joe sshd | wc -l; cat /etc/by-hand") == "2\nhand\n"
    assert inside(oven, name, "systemctl is-active ssh; dpkg --audit") == "active\n"


def a_broken_version(service: Project, name: str) -> None:
    oven = service.oven
    units = "usr/lib/systemd/system"
    service.put("usr/share/service/version", "3\n")
    service.put(f"{units}/broken.service", BROKEN)
    wants = service.recipe.parent / f"service/overlay/{units}/multi-user.target.wants"
    wants.mkdir()
    (wants / "broken.service").symlink_to("../broken.service")
    service.build()
    said = oven.said("upgrade", name, code=6)
    assert "is as it was before: units failed: broken.service" in said
    assert "ExecStart=/bin/false" in said
    assert inside(oven, name, "cat /usr/share/service/version; systemctl is-system-running") == (
        "2\nrunning\n"
    )


def packages_again(service: Project, name: str) -> None:
    """What was installed by hand is installed on the next template, and is still by hand."""
    oven = service.oven
    service.put("usr/share/service/version", "4\n")
    units = service.recipe.parent / "service/overlay/usr/lib/systemd/system"
    (units / "multi-user.target.wants/broken.service").unlink()
    (units / "broken.service").unlink()
    service.build()
    done = json.loads(oven("upgrade", name, "--reinstall", "--json").stdout)
    assert done["install"] == ["hello:amd64"]
    said = inside(oven, name, "cat /usr/share/service/version; hello; dpkg --audit")
    assert said == "4\nHello, world!\n"
    assert inside(oven, name, "apt-mark showmanual hello; systemctl is-system-running") == (
        "hello\nrunning\n"
    )


def a_way_back(oven: Oven, name: str) -> None:
    oven("rollback", name, code=7)
    oven("rollback", name, "--stop")
    assert inside(oven, name, "cat /usr/share/service/version /etc/by-hand") == "2\nhand\n"
    rows = json.loads(oven("snapshot", "list", name, "--json").stdout)
    assert [row["for"] for row in rows] == ["upgrade", "upgrade", "rollback", "rollback"]


def a_copy(oven: Oven, name: str, folder: Path) -> None:
    """The same container under another name, by `clone` and by a file."""
    keys = inside(oven, name, "cat /etc/ssh/ssh_host_*.pub /etc/machine-id")
    oven("clone", name, f"{name}-c")
    file = folder / "file"
    try:
        oven("start", f"{name}-c")
        other = inside(oven, f"{name}-c", "cat /etc/ssh/ssh_host_*.pub /etc/machine-id")
        assert set(keys.splitlines()).isdisjoint(other.splitlines())
        assert len(keys.splitlines()) == len(other.splitlines()), "it has made keys of its own"
        assert inside(oven, f"{name}-c", "hostname; cat /etc/by-hand") == f"{name}-c\nhand\n"
        oven("export", name, "-o", file)
        oven("import", file, f"{name}-i")
        oven("start", f"{name}-i")
        assert inside(oven, f"{name}-i", "hostname; cat /etc/by-hand") == f"{name}-i\nhand\n"
    finally:
        names = [path.name for path in (oven.home / "containers").glob(f"{name}-?")]
        oven("destroy", "--force", *names)


def a_recipe_of_it(oven: Oven, name: str, folder: Path) -> None:
    """What was done by hand becomes part of a template."""
    inside(oven, name, "apt-get -qq update && apt-get -qq install hello >/dev/null 2>&1")
    assert "hello" in oven.said("upgrade", name, "--dry-run", code=7)
    recipe = project(folder / "again", name="again")
    lines = text(oven("diff", name, "--as-overlay", recipe.parent / "again").stdout)
    assert "# deleted by hand: /etc/issue\n" in lines
    assert '[packages]\ninstall = [\n    "hello",\n]\n' in lines
    recipe.write_text(RECIPE.replace('"service"', '"again"') + "\n" + lines)
    assert not list(recipe.parent.glob("again/overlay/etc/ssh/ssh_host*"))
    oven("build", "--no-probe", recipe)
    run = ("run", "--network", "none", "again", "--")
    script = "cat /etc/by-hand; sed -n 4p /etc/service.conf; hello"
    assert text(oven(*run, "sh", "-c", script).stdout) == "hand\nmine\nHello, world!\n"
