"""Owners and permissions: as the recipe says, else those of what is replaced."""

from pathlib import Path

import pytest

from builder.model.recipe.content import User
from builder.model.rights import FileRights
from builder.stages.customize import customize
from builder.stages.tree.asked import AskedError
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

OWNED = {
    "etc/secret.conf": "shipped\n",
    "usr/lib/main/tool": "#!/bin/sh\n",
    "etc/init.d/run": "#!/bin/sh\n",
}


def rights(tree: Path, path: str) -> tuple[int, int, int]:
    found = (tree / path).stat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def test_owners_and_modes_are_as_asked(kitchen: Kitchen) -> None:
    """Of what the overlay, a package and an account have brought."""
    kitchen.write("overlay/srv/key", "secret\n")
    kitchen.write("see.sh", "#!/bin/sh -e\nstat -c %U:%G:%a /srv/key >/seen\n")
    tree = kitchen.cook(
        "see.sh",
        packages=(kitchen.package("main", **OWNED),),
        users=(User(name="app", uid=2000, groups=("adm",)),),
        files=(
            FileRights(path="/srv/key", owner="app", mode="0600"),
            FileRights(path="/usr/lib/main/tool", mode="4755"),
            FileRights(path="/etc/secret.conf", group="adm", mode="0640"),
            FileRights(path="/home/app", owner=2001, group=2002, mode="2750"),
        ),
    )
    assert (tree / "seen").read_text() == "app:app:600\n"
    assert rights(tree, "srv/key") == (2000, 2000, 0o600)
    assert rights(tree, "usr/lib/main/tool") == (0, 0, 0o4755)
    assert rights(tree, "etc/secret.conf") == (0, 4, 0o640)
    assert rights(tree, "home/app") == (2001, 2002, 0o2750)


def test_what_replaces_a_file_has_its_owner_and_mode(kitchen: Kitchen) -> None:
    private = FileRights(path="/etc/secret.conf", owner="daemon", group="adm", mode="0640")
    tool = FileRights(path="/usr/lib/main/tool", mode="0644")
    package = kitchen.package("main", **OWNED)
    below = customize(
        kitchen.inputs(tree=kitchen.install(package), files=(private, tool)), kitchen.tools
    ).tree
    kitchen.write("overlay/etc/secret.conf", "the author's\n")
    kitchen.write("overlay/usr/lib/main/tool", "#!/bin/sh\necho\n")
    kitchen.write("overlay/etc/new.conf", "new\n")
    (kitchen.recipe / "overlay/usr/lib/main/tool").chmod(0o755)
    tree = kitchen.cook(tree=below)
    assert (tree / "etc/secret.conf").read_text() == "the author's\n"
    assert rights(tree, "etc/secret.conf") == (1, 4, 0o640)
    assert rights(tree, "usr/lib/main/tool") == (0, 0, 0o755)
    assert rights(tree, "etc/new.conf") == (0, 0, 0o644)


@pytest.mark.parametrize(
    ("file", "key", "problem", "hint"),
    [
        (FileRights(path="/etc/passwd"), "path", "nothing is said of", "`owner`, `group` or"),
        (FileRights(path="/etc/none", mode="0600"), "path", "there is no `/etc/none`", "scripts"),
        (FileRights(path="/bin", mode="0700"), "path", "a link to `usr/bin`", "what it leads to"),
        (FileRights(path="/etc", owner="dæmon"), "owner", "account `dæmon` does not", "daemon"),
        (FileRights(path="/etc", group="amd"), "group", "group `amd` does not", "`adm`"),
    ],
)
def test_rights_that_cannot_be_point_to_their_line(
    kitchen: Kitchen, file: FileRights, key: str, problem: str, hint: str
) -> None:
    error = kitchen.refused(files=(FileRights(path="/etc/passwd", mode="0644"), file))
    assert isinstance(error, AskedError)
    assert error.where == ("file", 1, key)
    assert problem in error.problem
    assert hint in str(error.hint)
