"""Accounts: the recipe's users, made with the tree's own useradd."""

import difflib
import posixpath
from collections.abc import Iterable

from builder.host.programs import Command
from builder.host.sandbox.sandbox import Inside
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError
from builder.model.numbers import number
from builder.model.recipe import User

NOWHERE = "/nonexistent"
"""Debian Policy 9.2.3: the home of a system account that has none."""
_LAST_ID = (1 << 32) - 2


def add_users(users: tuple[User, ...], tree: TreeIO, run: Inside) -> None:
    """Make the accounts in their order, so that free ids are given out the same way each time."""
    for user in users:
        _refuse_mistakes(user, tree)
        run.require(Command(_useradd(user)), f"the user `{user.name}` could not be made")
        if user.ssh_keys:
            _write_keys(user, tree)


def _refuse_mistakes(user: User, tree: TreeIO) -> None:
    where = f"the user `{user.name}`"
    accounts, groups = ids(tree, "passwd"), ids(tree, "group")
    if user.name in accounts:
        raise RecipeError(
            f"{where} is there already",
            hint="a package or the template below made it; choose another name",
        )
    if user.uid is not None and user.uid in accounts.values():
        owner = next(name for name, uid in accounts.items() if uid == user.uid)
        raise RecipeError(f"{where} asks for the uid {user.uid}, which is `{owner}`'s")
    for group in user.groups:
        if group not in groups:
            raise RecipeError(
                f"{where} asks for the group `{group}`, which does not exist",
                hint=nearest(group, groups, "it must come with a package of the recipe's"),
            )
    if not tree.is_file(user.shell):
        raise RecipeError(
            f"{where} asks for the shell `{user.shell}`, which is not in the tree",
            hint="add its package to `packages.install`",
        )
    if user.ssh_keys and home_of(user) == NOWHERE:
        raise RecipeError(f"{where} has ssh keys but no home folder", hint="set `home`")
    for field, text in (("gecos", user.gecos), ("home", user.home or ""), ("shell", user.shell)):
        if ":" in text or not text.isprintable():
            raise RecipeError(f"{where}: `{field}` cannot hold a colon or a control character")


def home_of(user: User) -> str:
    """Give the account's home folder."""
    return user.home or (NOWHERE if user.system else f"/home/{user.name}")


def _useradd(user: User) -> tuple[str, ...]:
    made = home_of(user) != NOWHERE and not user.system
    argv = ["useradd", "--no-log-init", "--user-group", "--shell", user.shell]
    argv += ["--home-dir", home_of(user), "--create-home" if made else "--no-create-home"]
    argv += ["--comment", user.gecos]
    if user.system:
        argv.append("--system")
    if user.uid is not None:
        argv += ["--uid", str(user.uid)]
    if user.groups:
        argv += ["--groups", ",".join(user.groups)]
    return (*argv, user.name)


def _write_keys(user: User, tree: TreeIO) -> None:
    uid, gid = ids(tree, "passwd")[user.name], ids(tree, "group")[user.name]
    folder = posixpath.join(home_of(user), ".ssh")
    keys = "".join(f"{key.strip()}\n" for key in user.ssh_keys)
    tree.mkdir(folder, 0o700, (uid, gid))
    tree.write_bytes(f"{folder}/authorized_keys", keys.encode(), 0o600, (uid, gid))


def ids(tree: TreeIO, database: str) -> dict[str, int]:
    """Read the numeric ids of `passwd` or `group`, by name."""
    return _column(tree, database, 2)


def primary_groups(tree: TreeIO) -> dict[str, int]:
    """Read the numeric id of each account's own group, by the account's name."""
    return _column(tree, "passwd", 3)


def _column(tree: TreeIO, database: str, column: int) -> dict[str, int]:
    if not tree.is_file(f"etc/{database}"):
        return {}
    lines = tree.read_bytes(f"etc/{database}").decode(errors="replace").splitlines()
    rows = [line.split(":") for line in lines]
    read = {row[0]: number(row[column], _LAST_ID) for row in rows if len(row) > column}
    return {name: found for name, found in read.items() if found is not None}


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Offer the known names that are most like a mistyped one."""
    close = difflib.get_close_matches(name, sorted(known), n=3)
    return "did you mean " + " or ".join(f"`{one}`" for one in close) + "?" if close else otherwise
