"""Proving: what is the same under other conditions is proven, and what is not is found out."""

import json
from pathlib import Path

import pytest

from tests.support.builds.projects import TINY, project, with_script
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = [needs("root", "archive"), pytest.mark.usefixtures("nothing_left")]

GUILTY = r"""
mkdir /etc/found /etc/order
date +%s >/etc/found/clock
printf 'the same, then ' >/etc/found/random
head -c 8 /dev/urandom >>/etc/found/random
for name in a b c d e f g h; do touch /etc/order/$name; done
ls -U /etc/order >/etc/found/order
cat /proc/self/uid_map >/etc/found/ids
cut -d. -f1 /proc/uptime >/etc/found/uptime
nproc >/etc/found/processors
grep ' / ' /proc/mounts >/etc/found/folder
umask >/etc/found/umask
env | sort >/etc/found/env
hostname >/etc/found/host-name
"""


@pytest.mark.slow
def test_a_reproducible_recipe_is_proven(installed: Oven, built: Built, tmp_path: Path) -> None:
    built("debian-bookworm")  # for its packages
    done = installed("prove", project(tmp_path))
    said = text(done.stdout)
    assert said.splitlines()[-1] == "proven: all bytes are the same"
    perturbed, _, kept = said.partition("and both had the same")
    for what in ("owner ids", "folder", "order in folders", "processors", "locale", "umask"):
        assert f"  {what} " in perturbed
    assert "  date " in kept
    assert not list((installed.home / "cache/v1/drafts").iterdir())


@pytest.mark.slow
def test_what_is_not_reproducible_is_found_out(
    installed: Oven, built: Built, tmp_path: Path
) -> None:
    built("debian-bookworm")
    done = installed("prove", "--json", with_script(tmp_path, GUILTY), code=6)
    proof = json.loads(done.stdout)
    assert [(stage["stage"], stage["same"]) for stage in proof["stages"]] == [
        ("bootstrap bookworm", True),
        ("customize tiny", False),
    ]
    files = {file["path"].removeprefix("etc/found/"): file for file in proof["files"]}
    # Each condition that is said to be another one is seen to be.
    assert {"clock", "random", "order", "ids", "uptime", "processors", "folder"} == set(files)
    # Some of the first random bytes may be the same.
    assert 0 <= files["random"]["offset"] - len("the same, then ") < 8
    assert files["random"]["suspects"] == ["the script `script`"]
    assert {"owner ids", "order in folders", "uptime", "clock"} <= set(proof["perturbed"])
    assert text(done.stderr).startswith("tiny:")
    assert "`tiny` is not reproducible: `customize tiny` differs in 7 paths" in text(done.stderr)
    assert "look at the script `script`" in text(done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packages", "causes"),
    [
        (("texlive-latex-base", "default-jre-headless", "info", "gawk", "wget"), 2),
        (("mariadb-server", "slapd"), 3),
    ],
)
def test_of_what_always_differs_it_is_said_why(
    packages: tuple[str, ...], causes: int, installed: Oven, built: Built, tmp_path: Path
) -> None:
    built("debian-bookworm")
    text_of = f"{TINY}\n[packages]\ninstall = {json.dumps(packages)}\n"
    done = installed("prove", "--json", project(tmp_path, text_of), code=6)
    proof = json.loads(done.stdout)
    # Java's certificates, the index of info pages and all formats but those are the same.
    assert [file["path"] for file in proof["files"] if not file["known"]] == []
    assert len(proof["known"]) == causes
    assert " of them always differ: " in text(done.stderr)
    assert "hint: no script of the recipe is to blame" in text(done.stderr)
