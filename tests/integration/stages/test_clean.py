"""Clean: what a template must not carry is gone, what somebody needs stays."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.distros.debian.clean import RULES
from builder.distros.first_boot import FIRST_BOOT, FirstBootUnit, first_boot_unit
from builder.distros.identity import is_about, matches
from builder.distros.rpm.clean import RULES as RPM_RULES
from builder.distros.traces import CleanRule
from builder.formats.tar import acl
from builder.host.trees.treeio import TreeIO
from builder.model.errors import StageError
from builder.stages.tree.clean import clean
from builder.stages.tree.leaks import leaks
from tests.support.needs import needs
from tests.support.trees.odd_trees import ACL

pytestmark = needs("root")

ALL = (*RULES, *RPM_RULES)
EPOCH = 100 * 86400


ABOUT_FILES = [rule for rule in ALL if rule.action in {"remove", "empty"}]
ABOUT_LINES = [rule for rule in ALL if rule.lines]


LINES = {
    "etc/popularity-contest.conf": 'MY_HOSTID="0123456789abcdef"',
    "etc/roundcube/config.inc.php": "$config['des_key'] = 'abcdef';",
    "etc/mailman3/mailman-web.py": "SECRET_KEY = 'abcdef'",
    "etc/mailman3/mailman.cfg": "admin_pass: abcdef",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    return root


@pytest.fixture
def tree(root: Path) -> Iterator[TreeIO]:
    with TreeIO(root) as tree:
        yield tree


def put(root: Path, path: str, text: str = "something\n") -> Path:
    # `root / "/etc/x"` would be the host's own file.
    file = root / path.lstrip("/")
    assert file.is_relative_to(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def sample(pattern: str) -> str:
    """Make a path that a rule's pattern matches."""
    return pattern.replace("**", "deep/er/x").replace("*", "x").replace("[0-9]", "1")


@pytest.mark.parametrize("rule", ABOUT_FILES, ids=lambda rule: rule.path)
def test_every_rule_does_what_it_says(root: Path, tree: TreeIO, rule: CleanRule) -> None:
    file = put(root, sample(rule.path))
    shared = root.parent / "shared"
    os.link(file, shared)
    clean(tree, epoch=EPOCH)
    if rule.action == "remove":
        assert not os.path.lexists(file)
    else:
        assert file.read_bytes() == b""
    assert shared.read_text() == "something\n"


@pytest.mark.parametrize("rule", ABOUT_FILES, ids=lambda rule: rule.path)
def test_what_the_overlay_asks_for_stays(root: Path, tree: TreeIO, rule: CleanRule) -> None:
    path = sample(rule.path)
    put(root, path)
    clean(tree, epoch=EPOCH, keep={path})
    assert (root / path).read_text() == "something\n"


def test_a_folder_that_holds_something_asked_for_stays(root: Path, tree: TreeIO) -> None:
    put(root, "root/.cache/mine/kept")
    clean(tree, epoch=EPOCH, keep={"root/.cache/mine/kept"})
    assert (root / "root/.cache/mine/kept").exists()


def test_no_rule_follows_a_link_out(root: Path, tree: TreeIO, tmp_path: Path) -> None:
    outside = put(tmp_path, "outside/precious").parent
    for path in ("tmp", "var/cache/man", "var/log"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(outside)
    put(root, "run/x")
    (root / "run/link").symlink_to(outside)
    clean(tree, epoch=EPOCH)
    assert os.listdir(outside) == ["precious"]
    assert os.listdir(root / "run") == []


def test_a_tree_that_cannot_be_cleaned_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").symlink_to("nowhere")
    with TreeIO(tmp_path) as tree, pytest.raises(StageError, match="cannot be cleaned"):
        clean(tree, epoch=EPOCH)


def test_the_machine_id_is_an_empty_file_even_if_there_was_none(root: Path, tree: TreeIO) -> None:
    clean(tree, epoch=EPOCH)
    status = (root / "etc/machine-id").stat()
    assert status.st_size == 0
    assert stat.S_IMODE(status.st_mode) == 0o444
    put(root, "etc/machine-id", "c0ffee\n")
    clean(tree, epoch=EPOCH)
    assert (root / "etc/machine-id").read_bytes() == b""


def test_emptied_logs_keep_owner_and_mode(root: Path, tree: TreeIO) -> None:
    log = put(root, "var/log/daemon.log")
    log.chmod(0o640)
    os.chown(log, 101, 4)
    clean(tree, epoch=EPOCH)
    status = log.stat()
    assert (status.st_size, status.st_uid, status.st_gid) == (0, 101, 4)
    assert stat.S_IMODE(status.st_mode) == 0o640


def test_password_dates_are_no_later_than_the_epoch(root: Path, tree: TreeIO) -> None:
    shadow = put(root, "etc/shadow", "a:*:20779:0:99999:7:::\nb:!:50:0::::\nc:*:0::::\nd:*:::::\n")
    shadow.chmod(0o640)
    os.chown(shadow, 0, 42)
    clean(tree, epoch=EPOCH)
    assert shadow.read_text() == "a:*:100:0:99999:7:::\nb:!:50:0::::\nc:*:0::::\nd:*:::::\n"
    assert (shadow.stat().st_gid, stat.S_IMODE(shadow.stat().st_mode)) == (42, 0o640)


@pytest.mark.parametrize("row", FIRST_BOOT, ids=lambda row: row.name)
def test_a_removed_secret_is_made_again_at_first_boot(
    root: Path, tree: TreeIO, row: FirstBootUnit
) -> None:
    unit = root / f"usr/lib/systemd/system/oven-{row.name}.service"
    put(root, row.needs)
    clean(tree, epoch=EPOCH)
    assert not unit.exists()  # the program alone, as in openssh-client, is no reason
    secret = put(root, row.missing[0])
    clean(tree, epoch=EPOCH)
    assert not secret.exists()
    assert unit.read_text() == first_boot_unit(row).text()
    checks = [line for line in unit.read_text().splitlines() if line.startswith("ExecStartPost=")]
    assert checks == [f"ExecStartPost=/usr/bin/test -s {path}" for path in row.missing]
    link = unit.parent / "sysinit.target.wants" / unit.name
    assert link.resolve() == unit


def test_access_lists_that_each_boot_sets_are_left_out(root: Path, tree: TreeIO) -> None:
    for name in ("journal", "other"):
        folder = root / "var/log" / name
        folder.mkdir(parents=True)
        folder.chmod(0o2750)
        for attribute in (acl.ACCESS, acl.DEFAULT):
            os.setxattr(folder, attribute, ACL)
    modes = (root / "var/log/journal").stat().st_mode
    clean(tree, epoch=EPOCH)
    assert not os.listxattr(root / "var/log/journal")
    assert (root / "var/log/journal").stat().st_mode == modes
    assert len(os.listxattr(root / "var/log/other")) == 2


def test_cleaning_twice_changes_nothing_more(root: Path, tree: TreeIO) -> None:
    for rule in ABOUT_FILES:
        put(root, sample(rule.path))
    clean(tree, epoch=EPOCH)
    before = [path for path, _ in tree.walk()]
    clean(tree, epoch=EPOCH)
    assert [path for path, _ in tree.walk()] == before


@pytest.mark.parametrize("rule", ABOUT_LINES, ids=lambda rule: rule.path)
def test_lines_are_cut_or_found(root: Path, tree: TreeIO, rule: CleanRule) -> None:
    secret = LINES[rule.path]
    file = put(root, rule.path, f"# a file\n{secret}\nother = 1\n")
    file.chmod(0o640)
    assert is_about(tree, rule, rule.path)
    clean(tree, epoch=EPOCH)
    if rule.action == "cut":
        assert file.read_text() == "# a file\nother = 1\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert leaks(tree) == []
    else:
        assert [leak.path for leak in leaks(tree)] == [rule.path]
        file.write_text("# a file\nother = 1\n")
        assert leaks(tree) == []


def test_patterns_name_nothing_where_there_is_nothing(tree: TreeIO) -> None:
    for rule in ABOUT_FILES:
        assert list(matches(tree, rule.path)) == []
