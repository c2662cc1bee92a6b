"""Accounts and groups: new ones, those that are there, and what lies in their homes."""

from pathlib import Path

import pytest

from builder.model.recipe.content import Group, User
from builder.stages.customize import customize
from builder.stages.tree.asked import AskedError
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")


def owner(tree: Path, path: str) -> tuple[int, int]:
    found = (tree / path).lstat()
    return found.st_uid, found.st_gid


def mode(tree: Path, path: str) -> int:
    return (tree / path).stat().st_mode & 0o7777


def lines(tree: Path, path: str) -> list[str]:
    return (tree / path).read_text().splitlines()


def test_what_lies_in_a_home_is_its_accounts(kitchen: Kitchen) -> None:
    kitchen.write("overlay/home/admin/.config/app.ini", "x\n")
    kitchen.write("overlay/home/other/file", "x\n")
    kitchen.write("overlay/srv/deep/app/data/file", "x\n")
    (kitchen.recipe / "overlay/home/admin/link").symlink_to(".config")
    tree = kitchen.cook(
        users=(
            User(name="admin", uid=2000),
            User(name="app", uid=300, system=True, home="/srv/deep/app", ssh_keys=("ssh-rsa A",)),
        )
    )
    for path in ("", "/.config", "/.config/app.ini", "/link", "/.bashrc"):
        assert owner(tree, f"home/admin{path}") == (2000, 2000), path
    assert owner(tree, "home/other/file") == (0, 0)
    assert owner(tree, "srv/deep") == (0, 0)
    assert mode(tree, "srv/deep") == 0o755
    for path in ("", "/data", "/data/file", "/.ssh/authorized_keys"):
        assert owner(tree, f"srv/deep/app{path}")[0] == 300, path


def test_homes_of_the_recipe_below_are_known(kitchen: Kitchen) -> None:
    below = customize(kitchen.inputs(users=(User(name="admin", uid=2000),)), kitchen.tools).tree
    kitchen.write("overlay/home/admin/more", "x\n")
    assert owner(kitchen.cook(tree=below), "home/admin/more") == (2000, 2000)


def test_keys_for_accounts_that_are_there(kitchen: Kitchen) -> None:
    below = customize(
        kitchen.inputs(users=(User(name="root", existing=True, ssh_keys=("ssh-rsa A",)),)),
        kitchen.tools,
    ).tree
    more = User(name="root", existing=True, ssh_keys=("ssh-rsa A", "ssh-rsa B"), groups=("adm",))
    tree = kitchen.cook(
        tree=below,
        users=(more, User(name="www-data", existing=True, groups=("certs",), shell="/bin/sh")),
        groups=(Group(name="certs", gid=3000), Group(name="adm")),
    )
    assert lines(tree, "root/.ssh/authorized_keys") == ["ssh-rsa A", "ssh-rsa B"]
    assert (mode(tree, "root/.ssh"), owner(tree, "root/.ssh")) == (0o700, (0, 0))
    assert "adm:x:4:root" in lines(tree, "etc/group")
    assert "certs:x:3000:www-data" in lines(tree, "etc/group")
    assert "www-data:x:33:33:www-data:/var/www:/bin/sh" in lines(tree, "etc/passwd")


def test_an_account_in_a_group_that_is_there(kitchen: Kitchen) -> None:
    tree = kitchen.cook(users=(User(name="staff", uid=2000, group="staff"),))
    assert owner(tree, "home/staff") == (2000, 50)


@pytest.mark.parametrize(
    ("more", "where", "problem", "hint"),
    [
        (
            {"users": (User(name="me"), User(name="root"))},
            ("user", 1, "name"),
            "the user `root` is there already",
            "`existing = true`",
        ),
        (
            {"users": (User(name="staff"),)},
            ("user", 0, "name"),
            "there is one of that name already",
            '`group = "staff"`',
        ),
        (
            {"users": (User(name="wwwdata", existing=True),)},
            ("user", 0, "existing"),
            "the user `wwwdata` does not exist",
            "`www-data`",
        ),
        (
            {"users": (User(name="me", groups=("adm", "audoi")),)},
            ("user", 0, "groups", 1),
            "the group `audoi`, which does not",
            "`audio`",
        ),
        (
            {"users": (User(name="nobody", existing=True, ssh_keys=("ssh-rsa A",)),)},
            ("user", 0, "ssh-keys"),
            "has ssh keys but no home folder",
            "`home`",
        ),
        (
            {"groups": (Group(name="adm", gid=3000),)},
            ("group", 0, "gid"),
            "the group `adm` is there already, with the gid 4",
            "leave out `gid`",
        ),
        (
            {"groups": (Group(name="mine", gid=4),)},
            ("group", 0, "gid"),
            "asks for the gid 4, which is `adm`'s",
            "",
        ),
    ],
)
def test_mistakes_point_to_their_line(
    kitchen: Kitchen,
    more: dict[str, object],
    where: tuple[str | int, ...],
    problem: str,
    hint: str,
) -> None:
    error = kitchen.refused(packages=(), **more)
    assert isinstance(error, AskedError)
    assert error.where == where
    assert problem in error.problem
    assert hint in (error.hint or "")
