"""Accounts: the tables of users and groups of a tree, read and changed as text."""

import stat
import time
from collections.abc import Iterator

from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError, RecipeError
from builder.model.numbers import number
from builder.runtime.record.container import IDS

# passwd(5), group(5), shadow(5), gshadow(5): lines of fields between colons. Lines that are not
# understood are kept as they are. No program of the tree runs, and no library of the host reads it.

_FIRST_USER = 1000
_LAST_USER = 59999
_WIDTHS = {"passwd": 7, "group": 4, "shadow": 9, "gshadow": 4}


class Table:
    """One of the tables; `save` writes it back with the owner and mode that it had."""

    def __init__(self, tree: TreeIO, name: str) -> None:
        self._tree, self._path, self._width = tree, f"etc/{name}", _WIDTHS[name]
        self.exists = tree.exists(self._path)
        if self.exists and not stat.S_ISREG(tree.lstat(self._path).st_mode):
            # A link would be replaced by what it leads to.
            raise HostError(f"`/{self._path}` in the container is not a regular file")
        text = tree.read_bytes(self._path, 1 << 24) if self.exists else b""
        self._lines = text.decode(errors="surrogateescape").splitlines()

    def rows(self) -> Iterator[list[str]]:
        """Give the fields of each entry."""
        for line in self._lines:
            fields = line.split(":")
            if len(fields) == self._width:
                yield fields

    def find(self, name: str) -> list[str] | None:
        """Give the entry of that name."""
        return next((fields for fields in self.rows() if fields[0] == name), None)

    def put(self, fields: list[str]) -> None:
        """Replace the entry of that name, or add it."""
        new = ":".join(fields)
        for index, line in enumerate(self._lines):
            if line.split(":")[0] == fields[0]:
                self._lines[index] = new
                return
        self._lines.append(new)

    def save(self, owner: tuple[int, int], mode: int) -> None:
        """Write the table; owner and mode are for one that was not there."""
        if self.exists:
            status = self._tree.lstat(self._path)
            owner, mode = (status.st_uid, status.st_gid), status.st_mode & 0o7777
        text = "".join(f"{line}\n" for line in self._lines)
        self._tree.write_bytes(self._path, text.encode(errors="surrogateescape"), mode, owner)


class Accounts:
    """All tables of a tree; ids are those inside, `first` is root's as the tree shows it."""

    def __init__(self, tree: TreeIO, first: int) -> None:
        self._tables = {name: Table(tree, name) for name in _WIDTHS}
        self._first = first

    def home(self, name: str) -> tuple[str, int, int] | None:
        """Give the home folder and the ids of a user."""
        fields = self._tables["passwd"].find(name)
        if fields is None:
            return None
        uid, gid = (number(word, IDS - 1) for word in fields[2:4])
        return None if uid is None or gid is None else (fields[5] or "/", uid, gid)

    def add(self, name: str, uid: int | None, shell: str) -> None:
        """Add a user with a group of the same name and no password."""
        passwd, group = self._tables["passwd"], self._tables["group"]
        taken = {fields[2] for fields in passwd.rows()} | {fields[2] for fields in group.rows()}
        if uid is None:
            uid = _free(taken)
        elif str(uid) in {fields[2] for fields in passwd.rows()}:
            raise RecipeError(f"the user id {uid} is taken in the container")
        entry = group.find(name)
        gid = entry[2] if entry else str(uid)
        if entry is None:
            gid = str(uid) if str(uid) not in {fields[2] for fields in group.rows()} else ""
            gid = gid or str(_free(taken))
            group.put([name, "x", gid, ""])
            if self._tables["gshadow"].exists:
                self._tables["gshadow"].put([name, "!", "", ""])
        passwd.put([name, "x", str(uid), gid, "", f"/home/{name}", shell])
        self._tables["shadow"].put([name, "!", _today(), "0", "99999", "7", "", "", ""])

    def join(self, name: str, wanted: tuple[str, ...]) -> None:
        """Put a user into further groups."""
        for one in wanted:
            fields = self._tables["group"].find(one)
            if fields is None:
                raise RecipeError(f"there is no group `{one}` in the container")
            for table in ("group", "gshadow"):
                entry = self._tables[table].find(one)
                if entry is not None and name not in entry[3].split(","):
                    entry[3] = ",".join(filter(None, (entry[3], name)))
                    self._tables[table].put(entry)

    def set_password(self, name: str, hashed: str) -> None:
        """Set the hash of a password, and have the user table point to it."""
        entry = self._tables["shadow"].find(name) or [name, "", "", "0", "99999", "7", "", "", ""]
        entry[1], entry[2] = hashed, _today()
        self._tables["shadow"].put(entry)
        user = self._tables["passwd"].find(name)
        if user is not None and user[1] != "x":
            user[1] = "x"
            self._tables["passwd"].put(user)

    def save(self) -> None:
        """Write all tables; those of passwords first, so that no user is ever without one."""
        root = (self._first, self._first)
        for name in ("gshadow", "group", "shadow", "passwd"):
            table = self._tables[name]
            if table.exists or name != "gshadow":
                table.save(root, 0o600 if name == "shadow" else 0o644)


def _free(taken: set[str]) -> int:
    found = next((n for n in range(_FIRST_USER, _LAST_USER) if str(n) not in taken), None)
    if found is None:
        raise HostError("all ids for users are taken in the container")
    return found


def _today() -> str:
    return str(int(time.time()) // 86400)
