"""Building: the same bytes whoever builds where and when, and clear words when it cannot be."""

import io
import json
import os
import stat
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from tests.support.builds.projects import TINY, project, with_script
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = [needs("root", "archive"), pytest.mark.usefixtures("nothing_left")]


def snapshot(home: Path) -> set[tuple[str, int]]:
    """Give path and inode of everything that was built; the time of last use may change."""
    return {
        (str(path), path.stat().st_ino)
        for pattern in ("cache/v1/blobs/*/*", "cache/v1/trees/*", "templates/*", "cache/locks/*")
        for path in home.glob(pattern)
    }


def test_a_second_build_does_nothing_and_says_why(oven: Oven, built: Built) -> None:
    first = built("debian-bookworm")
    before = snapshot(oven.home)
    done = oven("build", "debian-bookworm", "--explain", "--json")
    assert json.loads(done.stdout)[0]["sha256"] == first
    lines = text(done.stderr).splitlines()
    rows = [words for line in lines if len(words := line.split()) > 2]
    outcomes = {words[0]: words[2] for words in rows}
    stages = ("bootstrap", "customize", "pack", "probe")
    assert {name: outcomes.get(name) for name in stages} == dict.fromkeys(stages, "kept")
    assert snapshot(oven.home) == before


def test_the_same_bytes_in_another_folder_and_another_environment(
    oven: Oven, built: Built, tmp_path: Path
) -> None:
    expected = built("debian-bookworm")
    lock = oven.home / "cache/locks/debian-bookworm-amd64.json"
    recipe = project(
        tmp_path / "elsewhere",
        (oven.cwd / "recipes/debian-bookworm.toml").read_text(),
        name="debian-bookworm",
    )
    recipe.with_suffix(".lock").write_bytes(lock.read_bytes())
    env = {"TZ": "Pacific/Chatham", "LANG": "tr_TR.UTF-8", "SOURCE_DATE_EPOCH": "1", "HOME": "/"}
    other = replace(oven, home=tmp_path / "home", cwd=recipe.parent.parent).having(**env)
    # Downloading them again would prove nothing and burden the mirror.
    share_packages(oven.home, other.home)
    before = os.umask(0o077)
    try:
        assert other.sha256("debian-bookworm", "--locked", "--no-probe") == expected
    finally:
        os.umask(before)


def share_packages(source: Path, target: Path) -> None:
    folder = target / "cache/v1/blobs"
    folder.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", source / "cache/v1/blobs", folder], check=True)


def test_the_tarball_is_what_the_format_promises(oven: Oven, built: Built, tmp_path: Path) -> None:
    built("debian-bookworm")
    rows = oven.json("build", "debian-bookworm", "-o", tmp_path)
    assert isinstance(rows, list)
    file = tmp_path / f"debian-bookworm_{rows[0]['arch']}.tar.zst"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    data = zstandard.ZstdDecompressor().stream_reader(file.read_bytes(), read_across_frames=True)
    with tarfile.open(fileobj=io.BytesIO(data.read())) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names[0] == "./usr/share/oven/manifest.json"
    # Each folder is followed by what is in it.
    assert names[1:] == sorted(names[1:], key=lambda name: os.fsencode(name).split(b"/"))
    assert len(set(names)) == len(names)
    assert {member.uname + member.gname for member in members} == {""}
    by_name = {member.name.removeprefix("./"): member for member in members}
    assert by_name["etc/machine-id"].size == 0
    assert by_name["usr/bin/su"].mode == 0o4755
    assert "SCHILY.xattr.security.capability" in by_name["usr/bin/ping"].pax_headers
    newest = max(member.mtime for member in members)
    lock = json.loads((oven.home / "cache/locks/debian-bookworm-amd64.json").read_text())
    assert newest <= lock["epoch"]
    gone = ("var/lib/apt/lists/", "var/cache/apt/archives/", "etc/ssh/ssh_host_")
    assert [name for name in by_name if name.startswith(gone) and by_name[name].isfile()] == []


def test_without_a_lock_file_locked_refuses(oven: Oven, tmp_path: Path) -> None:
    recipe = project(tmp_path)
    said = oven.said("build", "--locked", recipe, code=2)
    assert "`tiny` has no lock file" in said
    assert "oven lock tiny" in said


def test_with_a_stale_lock_file_locked_names_the_key(oven: Oven, tmp_path: Path) -> None:
    recipe = project(tmp_path)
    oven("lock", recipe)
    oven("lock", "--check", recipe)
    project(tmp_path, f'{TINY}\n[packages]\ninstall = ["hello"]\n')
    said = oven.said("build", "--locked", recipe, code=2)
    assert "`packages.install` changed" in said


def test_a_missing_package_is_told_with_the_nearest_names(oven: Oven, tmp_path: Path) -> None:
    recipe = project(tmp_path, f'{TINY}\n[packages]\ninstall = ["ngnix"]\n')
    said = oven.said("build", recipe, code=2)
    assert "ngnix" in said
    assert "did you mean" in said
    assert "`nginx`" in said
    assert "tiny.toml:10" in said
    assert "^^^^^" in said


def test_a_mistake_in_a_recipe_is_shown_where_it_is(oven: Oven, tmp_path: Path) -> None:
    recipe = project(tmp_path, TINY.replace("suite", "sutie"))
    said = oven.said("build", recipe, code=2)
    assert "tiny.toml:7" in said
    assert "did you mean `suite`?" in said


def test_a_failing_script_shows_its_output_and_nothing_is_packed(
    oven: Oven, tmp_path: Path
) -> None:
    recipe = with_script(tmp_path, "echo before the fall\nfalse-is-no-program || exit 9")
    before = oven("template", "list").stdout
    said = oven.said("build", recipe, code=6)
    assert "before the fall" in said
    assert "false-is-no-program: not found" in said
    assert "command: bwrap" in said
    assert oven("template", "list").stdout == before


def test_scripts_have_no_network(oven: Oven, tmp_path: Path) -> None:
    only_loopback = "test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo"
    oven("build", "--no-probe", with_script(tmp_path, only_loopback))


NAMES = "find /etc /home /root /var -xdev -type f -links +1 ! -path '/var/lib/dpkg/info/*'"
"""What postfix and cron refuse."""


def test_files_have_no_names_outside_of_the_tree(oven: Oven, tmp_path: Path) -> None:
    recipe = with_script(tmp_path, f'found=$({NAMES}); test -z "$found"')
    oven("build", "--no-probe", recipe)
    assert oven("run", "--network", "none", "tiny", "--", "sh", "-c", NAMES).stdout == b""


@pytest.mark.slow
def test_what_debootstrap_makes_is_a_template_too(oven: Oven, built: Built, tmp_path: Path) -> None:
    built("debian-bookworm")
    lock = oven.home / "cache/locks/debian-bookworm-amd64.json"
    assert lock.exists()
    recipe = project(tmp_path)
    sha256 = oven.sha256(recipe, "--no-probe", "--bootstrap", "debootstrap")
    assert oven.sha256(recipe, "--no-probe", "--bootstrap", "debootstrap") == sha256


def test_what_is_kept_cannot_be_written_by_others(oven: Oven, built: Built) -> None:
    built("debian-bookworm")
    blobs = list((oven.home / "cache/v1/blobs").glob("*/*"))
    assert blobs
    assert {stat.S_IMODE(blob.stat().st_mode) for blob in blobs if blob.is_file()} <= {0o444}
