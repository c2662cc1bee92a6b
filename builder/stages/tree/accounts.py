"""Accounts: the recipe's users, made with the tree's own useradd."""

import difflib
import posixpath
from collections.abc import Iterable

import msgspec

from builder.host.programs import Command
from builder.host.sandbox.sandbox import Inside
from builder.host.trees.treeio import TreeIO
from builder.model.numbers import number
from builder.model.recipe.content import Group, User
from builder.stages.tree.asked import AskedError
from builder.stages.tree.homes import Homes, Owner

NOWHERE = "/nonexistent"
"""Debian Policy 9.2.3: the home of a system account that has none."""
_SHELL = "/bin/bash"
_LAST_ID = (1 << 32) - 2
_PEOPLE = range(1000, 60000)
"""Ids of accounts that people use (Debian Policy 9.2.2)."""
_LARGE = 1 << 20


class _Account(msgspec.Struct, frozen=True):
    """A line of passwd(5)."""

    uid: int
    gid: int
    home: str


def add_groups(groups: tuple[Group, ...], tree: TreeIO, run: Inside) -> None:
    """Make the groups that are not there, in their order."""
    for index, group in enumerate(groups):
        known = ids(tree, "group")
        there = known.get(group.name)
        if there is not None:
            if group.gid not in {None, there}:
                raise AskedError(
                    f"the group `{group.name}` is there already, with the gid {there}",
                    ("group", index, "gid"),
                    hint="leave out `gid`, or choose another name",
                )
            continue
        if group.gid is not None and group.gid in known.values():
            owner = next(name for name, gid in known.items() if gid == group.gid)
            raise AskedError(
                f"the group `{group.name}` asks for the gid {group.gid}, which is `{owner}`'s",
                ("group", index, "gid"),
            )
        argv = ["groupadd", *(["--system"] if group.system else [])]
        argv += ["--gid", str(group.gid)] if group.gid is not None else []
        run.require(Command((*argv, group.name)), f"the group `{group.name}` could not be made")


def add_users(users: tuple[User, ...], tree: TreeIO, run: Inside) -> None:
    """Make the accounts in their order, so that free ids are given out the same way each time."""
    for index, user in enumerate(users):
        _Mistakes(index, user, tree).refuse()
        argv = _usermod(user) if user.existing else _useradd(user)
        if argv:
            done = "changed" if user.existing else "made"
            run.require(Command(argv), f"the user `{user.name}` could not be {done}")
        if user.ssh_keys:
            _write_keys(user, tree)


def homes_in(tree: TreeIO, users: tuple[User, ...]) -> Homes:
    """Give the homes of people, and of accounts that the recipe is about."""
    names = {user.name for user in users}
    return {
        account.home.strip("/"): (account.uid, account.gid)
        for name, account in _accounts(tree).items()
        if (name in names or account.uid in _PEOPLE) and account.home.strip("/")
    }


class _Mistakes:
    """What can be wrong with a `[[user]]`, seen from the tree that it comes into."""

    def __init__(self, index: int, user: User, tree: TreeIO) -> None:
        self._index, self._user, self._tree = index, user, tree
        self._accounts, self._groups = ids(tree, "passwd"), ids(tree, "group")

    def refuse(self) -> None:
        user, accounts, tree = self._user, self._accounts, self._tree
        if user.existing and user.name not in accounts:
            raise self._mistake(
                "does not exist",
                "existing",
                hint=nearest(user.name, accounts, "leave out `existing` to make it"),
            )
        if not user.existing:
            self._refuse_new()
        for place, group in enumerate(user.groups):
            self._refuse_unknown(group, "groups", place)
        if not tree.is_file(user.shell or _SHELL) and not (user.existing and not user.shell):
            raise self._mistake(
                f"asks for the shell `{user.shell or _SHELL}`, which is not in the tree",
                "shell",
                hint="add its package to `packages.install`",
            )
        if user.ssh_keys and _home(user, tree) == NOWHERE:
            raise self._mistake("has ssh keys but no home folder", "ssh-keys", hint="set `home`")
        for key, text in (("gecos", user.gecos), ("home", user.home), ("shell", user.shell)):
            if text and (":" in text or not text.isprintable()):
                raise self._mistake(f"has a colon or a control character in `{key}`", key)

    def _refuse_new(self) -> None:
        user, accounts = self._user, self._accounts
        if user.name in accounts:
            raise self._mistake(
                "is there already",
                "name",
                hint="a package or the template below made it; choose another name, or write"
                " `existing = true` to add groups and keys to it",
            )
        if user.uid is not None and user.uid in accounts.values():
            owner = next(name for name, uid in accounts.items() if uid == user.uid)
            raise self._mistake(f"asks for the uid {user.uid}, which is `{owner}`'s", "uid")
        if user.group is not None:
            self._refuse_unknown(user.group, "group")
        elif user.name in self._groups:
            raise self._mistake(
                "cannot have a group of its own: there is one of that name already",
                "name",
                hint=f'write `group = "{user.name}"` to have that one, or choose another name',
            )

    def _refuse_unknown(self, group: str, *key: str | int) -> None:
        if group not in self._groups:
            raise self._mistake(
                f"asks for the group `{group}`, which does not exist",
                *key,
                hint=nearest(group, self._groups, "it must come with a package or as `[[group]]`"),
            )

    def _mistake(self, what: str, *key: str | int, hint: str | None = None) -> AskedError:
        return AskedError(
            f"the user `{self._user.name}` {what}", ("user", self._index, *key), hint=hint
        )


def _home(user: User, tree: TreeIO) -> str:
    """Give the account's home folder."""
    if user.existing:
        return _accounts(tree)[user.name].home or NOWHERE
    return _new_home(user)


def _new_home(user: User) -> str:
    return user.home or (NOWHERE if user.system else f"/home/{user.name}")


def _useradd(user: User) -> tuple[str, ...]:
    home = _new_home(user)
    made = home != NOWHERE and not user.system
    own = ["--gid", user.group] if user.group else ["--user-group"]
    argv = ["useradd", "--no-log-init", *own, "--shell", user.shell or _SHELL]
    argv += ["--home-dir", home, "--create-home" if made else "--no-create-home"]
    argv += ["--comment", user.gecos]
    if user.system:
        argv.append("--system")
    if user.uid is not None:
        argv += ["--uid", str(user.uid)]
    if user.groups:
        argv += ["--groups", ",".join(user.groups)]
    return (*argv, user.name)


def _usermod(user: User) -> tuple[str, ...]:
    argv = ["--append", "--groups", ",".join(user.groups)] if user.groups else []
    argv += ["--shell", user.shell] if user.shell else []
    return ("usermod", *argv, user.name) if argv else ()


def _write_keys(user: User, tree: TreeIO) -> None:
    """Add the keys to those that the account has."""
    account = _accounts(tree)[user.name]
    owner: Owner = (account.uid, account.gid)
    folder = posixpath.join(account.home, ".ssh")
    file = f"{folder}/authorized_keys"
    # Who owns the home owns nothing above it.
    tree.mkdir(posixpath.dirname(account.home.rstrip("/")))
    tree.mkdir(account.home, 0o755, owner)
    tree.mkdir(folder, 0o700, owner)
    there = tree.read_bytes(file, _LARGE) if tree.is_file(file) else b""
    keys = dict.fromkeys([*there.splitlines(), *(key.strip().encode() for key in user.ssh_keys)])
    tree.write_bytes(file, b"".join(key + b"\n" for key in keys), 0o600, owner)


def _accounts(tree: TreeIO) -> dict[str, _Account]:
    """Read the accounts of a tree; lines that are none are passed over."""
    rows = {row[0]: row for row in _rows(tree, "passwd") if len(row) > 5}
    uids, gids = ids(tree, "passwd"), primary_groups(tree)
    return {
        name: _Account(uids[name], gids[name], row[5])
        for name, row in rows.items()
        if name in uids and name in gids
    }


def ids(tree: TreeIO, database: str) -> dict[str, int]:
    """Read the numeric ids of `passwd` or `group`, by name."""
    return _column(tree, database, 2)


def primary_groups(tree: TreeIO) -> dict[str, int]:
    """Read the numeric id of each account's own group, by the account's name."""
    return _column(tree, "passwd", 3)


def _column(tree: TreeIO, database: str, column: int) -> dict[str, int]:
    rows = _rows(tree, database)
    read = {row[0]: number(row[column], _LAST_ID) for row in rows if len(row) > column}
    return {name: found for name, found in read.items() if found is not None}


def _rows(tree: TreeIO, database: str) -> list[list[str]]:
    if not tree.is_file(f"etc/{database}"):
        return []
    lines = tree.read_bytes(f"etc/{database}").decode(errors="replace").splitlines()
    return [line.split(":") for line in lines]


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Offer the known names that are most like a mistyped one."""
    close = difflib.get_close_matches(name, sorted(known), n=3)
    return "did you mean " + " or ".join(f"`{one}`" for one in close) + "?" if close else otherwise
