"""Users and groups that were made by hand, as a recipe says them, and what only a script can."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from builder.host.overlayfs.layered import LayeredEntry, Layers
from builder.model.numbers import number
from builder.model.recipe.content import User
from builder.model.toml.text import table_lines
from builder.runtime.record.container import IDS

_LAST = 59999
"""The largest id of a user that a recipe can name."""
_FIRST = 1000
"""Smaller ids are those of the system and its packages (Debian Policy 9.2.2)."""
_TEXT_LIMIT = 1 << 20
_PARTS = ((2, "id"), (3, "group"), (4, "full name"), (5, "home folder"), (6, "shell"))

_Table = dict[str, list[str]]


@dataclass(slots=True)
class RecipeAccounts:
    """What became of the accounts."""

    users: list[User] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """Lines of a shell script, once the users are there."""
    notes: list[str] = field(default_factory=list)
    user_names: dict[int, str] = field(default_factory=dict)
    group_names: dict[int, str] = field(default_factory=dict)

    def owner(self, uid: int, gid: int) -> str:
        """Name an owner as chown(1) takes it."""
        return f"{self.user_names.get(uid, uid)}:{self.group_names.get(gid, gid)}"

    def lines(self) -> list[str]:
        """Give the users as lines of a recipe."""
        return list(table_lines("user", self.users))


def read(layers: Layers, scripts: set[str]) -> RecipeAccounts:
    """Compare the tables of a container with those of its template.

    Users whose names are among the words of `scripts` were made by installed packages.
    """
    old, new = (_Tables(find) for find in (layers.below, layers.find))
    found = RecipeAccounts()
    for names, table in ((found.user_names, new.passwd), (found.group_names, new.group)):
        names.update((int(row[2]), name) for name, row in reversed(table.items()))
    of_packages = {
        name
        for name, row in (*new.passwd.items(), *new.group.items())
        if int(row[2]) < _FIRST and name in scripts
    }
    fresh = {name for name in new.passwd if name not in old.passwd} - of_packages
    for name in sorted(fresh, key=lambda one: int(new.passwd[one][2])):
        _add_user(found, name, set(old.group) | of_packages, new)
    _add_groups(found, old, new, fresh, of_packages)
    for name, row in old.passwd.items():
        _tell_changes(found, name, row, new.passwd.get(name))
    found.notes += [
        f"group `{name}` was deleted by hand: a script has to do that"
        for name in old.group
        if name not in new.group
    ]
    return found


class _Tables:
    """The tables of one side; lines that are not understood are left out."""

    def __init__(self, find: Callable[[str], LayeredEntry | None]) -> None:
        self.passwd = _rows(find("etc/passwd"), 7)
        self.group = _rows(find("etc/group"), 4)
        self.shadow = _rows(find("etc/shadow"), 9, numbered=False)

    def group_of(self, user: str) -> str:
        """Give the name of a user's own group."""
        number = self.passwd[user][3]
        return next((name for name, row in self.group.items() if row[2] == number), number)


def _add_user(found: RecipeAccounts, name: str, known: set[str], new: _Tables) -> None:
    row = new.passwd[name]
    told: dict[str, object] = {
        "name": name,
        "uid": int(row[2]),
        "groups": tuple(_joined(name, new, known)),
        "gecos": row[4].rstrip(","),
        "shell": row[6] or "/bin/sh",
        "home": row[5] if row[5] != f"/home/{name}" else None,
        "system": int(row[2]) < _FIRST,
    }
    try:
        found.users.append(msgspec.convert(told, User))
    except msgspec.ValidationError as error:
        found.notes.append(f"user `{name}` is left out, a recipe cannot say it: {error}")
        return
    group = new.group_of(name)
    if group not in new.group:
        found.notes.append(f"user `{name}` is in the group {group}, which has no name: give it one")
    elif group != name:
        found.commands.append(_line("usermod", "--gid", group, name))
        if name not in new.group:
            found.commands.append(_line("groupdel", name))
    elif row[3] != row[2]:
        found.commands.append(_line("groupmod", "--gid", row[3], name))
    if new.shadow.get(name, ["", ""])[1].lstrip("!*"):
        found.notes.append(f"the password of user `{name}` is left out: set one in a container")


def _add_groups(
    found: RecipeAccounts, old: _Tables, new: _Tables, users: set[str], of_packages: set[str]
) -> None:
    """Have a script make the groups that are no user's own, before anybody is put into them."""
    made, joined = [], []
    for name, row in new.group.items():
        is_known = name in old.group or name in of_packages
        if not is_known and name not in users:
            made.append(_line("groupadd", "--gid", row[2], name))
        elif name in old.group and row[2] != old.group[name][2]:
            found.notes.append(f"group `{name}` has another id: a script has to change it")
        before = old.group.get(name, ["", "", "", ""])[3].split(",")
        for user in filter(None, row[3].split(",")):
            said = user in of_packages or (user in users and is_known)  # by them, or the recipe
            if user in new.passwd and user not in before and not said:
                joined.append(_line("usermod", "--append", "--groups", name, user))
        left = set(filter(None, before)) - set(row[3].split(","))
        joined += [
            _line("gpasswd", "--delete", user, name) for user in sorted(left & set(new.passwd))
        ]
    found.commands = [*made, *found.commands, *joined]


def _tell_changes(found: RecipeAccounts, name: str, old: list[str], new: list[str] | None) -> None:
    if new is None:
        found.notes.append(f"user `{name}` was deleted by hand: a script has to do that")
        return
    parts = [f"{what} {new[at]}" for at, what in _PARTS if new[at] != old[at]]
    if parts:
        found.notes.append(
            f"user `{name}` was changed by hand ({', '.join(parts)}): a script has to do that"
        )


def _joined(user: str, tables: _Tables, known: set[str]) -> list[str]:
    return [name for name, row in tables.group.items() if user in row[3].split(",")
            and name in known]  # fmt: skip


def _rows(found: LayeredEntry | None, width: int, *, numbered: bool = True) -> _Table:
    rows = [line.split(":") for line in _text(found).splitlines()]
    return {
        row[0]: row
        for row in rows
        if len(row) == width
        and (
            not numbered
            or all(number(word, IDS - 1) is not None for word in row[2 : 3 + (width > 4)])
        )
    }


def _text(found: LayeredEntry | None) -> str:
    if found is None or not found.is_file:
        return ""
    try:
        return found.read(_TEXT_LIMIT).decode(errors="replace")
    except OSError:
        return ""


def _line(*words: str) -> str:
    return shlex.join(words)
