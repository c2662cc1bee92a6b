"""Stand-ins: programs see them, and of what programs do to them only their own part stays."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.host.overlayfs import stand_ins
from builder.host.overlayfs.fold import fold, overlay
from tests.support.hosts.namespace import in_namespace
from tests.support.needs import needs

pytestmark = needs("root")

HOSTS = stand_ins.MARK + b"127.0.0.1 localhost\n"
FILES = {"etc/hosts": HOSTS, "etc/hostname": b"localhost\n", "usr/sbin/x": b"#!/bin/sh\n"}


def worked_on(folder: Path, work: Callable[[Path], object], own: bytes | None = None) -> Path:
    """Do something to a tree that may have a file of its own; give the new tree."""

    def cook() -> None:
        lower = folder / "lower"
        for name in ("etc", "usr/sbin"):
            (lower / name).mkdir(parents=True)
        if own is not None:
            (lower / "etc/hosts").write_bytes(own)
            (lower / "etc/hosts").chmod(0o640)
        over = stand_ins.lay(lower, folder / "over", FILES)
        with overlay(lower, folder / "up", folder / "work", folder / "view", over=over) as view:
            work(view)
        stand_ins.take_out(lower, folder / "up", FILES)
        fold(lower, folder / "up", folder / "new")

    in_namespace(cook)
    return folder / "new"


def add(view: Path) -> None:
    with (view / "etc/hosts").open("a") as file:
        file.write("10.1.2.3 db\n")


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_line_that_was_added_stays_alone(tmp_path: Path) -> None:
    new = worked_on(tmp_path, add)
    assert (new / "etc/hosts").read_bytes() == b"10.1.2.3 db\n"
    assert rights(new / "etc/hosts") == 0o644


@pytest.mark.parametrize("end", [b"\n", b""])
def test_it_comes_after_those_of_the_trees_own_file(tmp_path: Path, end: bytes) -> None:
    new = worked_on(tmp_path, add, own=b"10.0.0.1 own" + end)
    assert (new / "etc/hosts").read_bytes() == b"10.0.0.1 own\n10.1.2.3 db\n"
    assert rights(new / "etc/hosts") == 0o640


def test_one_that_was_only_touched_is_as_it_was(tmp_path: Path) -> None:
    def touch(view: Path) -> None:
        for name in FILES:
            (view / name).chmod(0o600)

    new = worked_on(tmp_path, touch, own=b"10.0.0.1 own\n")
    assert (new / "etc/hosts").read_bytes() == b"10.0.0.1 own\n"
    assert rights(new / "etc/hosts") == 0o600
    assert os.listdir(new / "etc") == ["hosts"]
    assert os.listdir(new / "usr/sbin") == []


def test_one_that_was_written_anew_is_its_authors(tmp_path: Path) -> None:
    text = b"127.0.0.1 localhost\n10.1.2.3 db\n"
    new = worked_on(tmp_path, lambda view: (view / "etc/hosts").write_bytes(text), own=b"x\n")
    assert (new / "etc/hosts").read_bytes() == text


def test_one_that_was_removed_is_gone(tmp_path: Path) -> None:
    new = worked_on(tmp_path, lambda view: (view / "etc/hosts").unlink(), own=b"x\n")
    assert not (new / "etc/hosts").exists()


def test_a_link_in_its_place_leads_nowhere_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(HOSTS)

    def swap(view: Path) -> None:
        (view / "etc/hosts").unlink()
        (view / "etc/hosts").symlink_to(outside)

    new = worked_on(tmp_path, swap)
    assert (new / "etc/hosts").readlink() == outside
    assert outside.read_bytes() == HOSTS
