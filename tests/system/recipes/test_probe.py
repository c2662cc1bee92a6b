"""`[probe]` of a recipe: how a template is booted once it is built, and what is said of it."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.containers.rig import INIT, put_init, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven
from tests.system.conftest import Built

pytestmark = [
    needs("root", "program:conmon", "program:runc", "program:zstd"),
    pytest.mark.usefixtures("nothing_left"),
]

RECIPE = """\
from = "debian-bookworm"

[template]
name = "{name}"

[services]
enable = ["tried.service"]
"""
UNIT = """\
[Unit]
After=network-online.target

[Service]
Type=oneshot
ExecStart={command}

[Install]
WantedBy=multi-user.target
"""
LINK = "/bin/sh -c 'ip -4 addr show dev eth0 | grep inet'"

Tried = Callable[..., tuple[int, str]]


@pytest.fixture
def tried(oven: Oven, built: Built, tmp_path: Path) -> Tried:
    """Build a recipe whose unit does something; give the exit status and what was said."""
    built("debian-bookworm")

    def build(command: str, probe: str = "", name: str = "tried") -> tuple[int, str]:
        path = tmp_path / f"recipes/{name}.toml"
        unit = tmp_path / f"recipes/{name}/overlay/etc/systemd/system/tried.service"
        unit.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECIPE.format(name=name) + probe)
        unit.write_text(UNIT.format(command=command))
        done = subprocess.run(
            oven.line("build", path), env=oven.environment, cwd=oven.cwd, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        ours = re.findall(r"^(?:error|hint): .*", done.stderr, re.MULTILINE)
        assert "probe-" not in "\n".join(ours)  # that container is gone
        return done.returncode, done.stderr

    return build


@pytest.mark.needs("archive")
def test_a_unit_that_fails(tried: Tried) -> None:
    code, said = tried("/bin/sh -c 'echo it is no use; exit 1'")
    assert (code, "`tried` boots `degraded`: tried.service failed" in said) == (6, True)
    assert "it is no use" in said
    assert "`network = true`" in said
    code, said = tried("/bin/false", '[probe]\nnetwork = true\nmay-fail = ["other.service"]\n')
    assert (code, "tried.service failed" in said) == (6, True)
    assert "`network = true`" not in said


@pytest.mark.slow
@pytest.mark.needs("archive")
def test_a_unit_that_may_fail(tried: Tried, oven: Oven, tmp_path: Path) -> None:
    code, said = tried("/bin/false", '[probe]\nmay-fail = ["tried.service"]\n')
    assert code == 0, said
    assert "probe tried: degraded: tried.service failed, as it may" in said
    above = tmp_path / "recipes/above.toml"
    above.write_text('from = "tried"\n[template]\nname = "above"\n')
    assert "failed, as it may" in oven.said("build", above)  # what stands on it says it again
    said = oven.said("build", "--explain", above)
    assert re.search(r"probe above +kept", said)


@pytest.mark.slow
@pytest.mark.needs("archive")
def test_how_it_is_tried_is_no_part_of_a_template(tried: Tried, oven: Oven, tmp_path: Path) -> None:
    assert tried("/bin/true")[0] == 0
    before = oven.json("template", "show", "tried")
    assert tried("/bin/true", '[probe]\ntimeout = "5m"\nmay-fail = ["a.service"]\n')[0] == 0
    assert oven.json("template", "show", "tried") == before


@pytest.mark.slow
@pytest.mark.needs("archive")
def test_a_unit_that_needs_a_network(tried: Tried) -> None:
    code, said = tried(LINK)
    assert (code, "tried.service failed" in said) == (6, True)
    code, said = tried(LINK, "[probe]\nnetwork = true\n")
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.needs("archive")
def test_a_boot_that_takes_too_long(tried: Tried, tmp_path: Path) -> None:
    code, said = tried("/bin/sleep 1000", '\n[probe]\ntimeout = "5s"\n')
    assert (code, "`tried` is not up after 5s: it waits for tried.service" in said) == (6, True)
    line = 1 + (tmp_path / "recipes/tried.toml").read_text().split("timeout")[0].count("\n")
    assert f"recipes/tried.toml:{line}:11\n" in said
    assert "`timeout` under `[probe]` gives it longer" in said


@pytest.mark.needs("archive")
def test_what_cannot_be_tried_here(tried: Tried) -> None:
    code, said = tried("/bin/false", '[probe]\nskip = "needs a modem"\n')
    assert code == 0
    assert "tried: not probed, as its recipe says: needs a modem" in said


def of_tarball(oven: Oven, folder: Path, init: str, more: str = "") -> str:
    """Build a template of a tarball with this init; give what was said."""
    root = tiny_tree(folder / "tiny")
    put_init(root, init)
    home = folder / "recipes/tiny"
    home.mkdir(parents=True)
    subprocess.run(["tar", "-C", root, "-cf", home / "tiny.tar", "."], check=True)
    digest = hashlib.sha256((home / "tiny.tar").read_bytes()).hexdigest()
    recipe = folder / "recipes/tiny.toml"
    recipe.write_text(
        'from = "tarball"\n[template]\nname = "tiny"\n'
        f'[tarball.amd64]\npath = "tiny.tar"\nsha256 = "{digest}"\n{more}'
    )
    done = subprocess.run(
        oven.line("build", recipe), env=oven.environment, cwd=oven.cwd, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    return f"{done.returncode} {done.stderr}"


def test_a_tarball_with_an_init_of_its_own(oven: Oven, tmp_path: Path) -> None:
    said = of_tarball(oven, tmp_path, INIT, '[probe]\nmay-fail = ["a.service"]\n')
    assert said.startswith("0 ")
    assert "probe tiny: up\n" in said
    assert "tiny: `may-fail` means units of systemd, which it does not boot with" in said


def test_an_init_that_takes_no_order(oven: Oven, tmp_path: Path) -> None:
    said = of_tarball(oven, tmp_path, "#!/bin/sh\nwhile :; do sleep 1; done\n")
    assert said.startswith("0 ")


def test_an_init_that_ends(oven: Oven, tmp_path: Path) -> None:
    said = of_tarball(oven, tmp_path, "#!/bin/sh\necho nothing to do\nexit 3\n")
    assert said.startswith("6 ")
    assert "error: `tiny` does not stay up: its init has ended" in said
    assert "nothing to do" in said


def test_an_init_that_does_not_end(oven: Oven, tmp_path: Path) -> None:
    said = of_tarball(oven, tmp_path, INIT.replace("; exit 0", ""), '[probe]\ntimeout = "2s"\n')
    assert said.startswith("6 ")
    assert "`tiny` boots, but does not shut down by itself within 2s" in said
