"""All that can be told of a tree, as a mapping that two trees can be compared by."""

import hashlib
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Facts = Mapping[str, str]
"""What is known of one path, or of one package: mode, owner, content and so on."""

STATUS = "var/lib/dpkg/status"

UNORDERED = ("etc/shadow", "etc/gshadow")
"""Each new account gets the last line, so these are in the order of configuration."""


@dataclass(frozen=True, order=True)
class Difference:
    """One fact in which a tree differs from another."""

    path: str
    """Below the root; `dpkg:NAME` for what dpkg knows of a package."""
    what: str
    """`extra` (only here), `missing` (only there), or the fact's name."""
    here: str = ""
    there: str = ""

    def __str__(self) -> str:
        values = f": {self.here!r}, there {self.there!r}" if self.here or self.there else ""
        return f"{self.path} {self.what}{values}"


def differences(here: Mapping[str, Facts], there: Mapping[str, Facts]) -> Iterator[Difference]:
    """Tell in what a tree differs from another."""
    for path in sorted(here.keys() | there.keys()):
        if path not in there:
            yield Difference(path, "extra")
        elif path not in here:
            yield Difference(path, "missing")
        else:
            ours, theirs = here[path], there[path]
            for what in sorted(ours.keys() | theirs.keys()):
                if ours.get(what) != theirs.get(what):
                    yield Difference(path, what, ours.get(what, ""), theirs.get(what, ""))


def facts_of(root: Path, *, epoch: int) -> dict[str, Facts]:
    """Read a tree: of every path its facts, and of every package what dpkg knows.

    Times after the epoch are those of the build, and taken as the epoch.
    """
    found: dict[str, dict[str, str]] = {}
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    for path, status in _walk(root, root):
        name = str(path.relative_to(root))
        found[name] = _facts(path, status, epoch)
        if name in UNORDERED:
            found[name]["content"] = "\n".join(sorted(path.read_text().splitlines()))
        if stat.S_ISREG(status.st_mode):
            names[status.st_dev, status.st_ino].append(name)
    for same in names.values():
        if len(same) > 1:
            for name in same:
                found[name]["links"] = " ".join(sorted(same))
    # The order of packages in it is that in which they were unpacked, and means nothing.
    found.pop(STATUS)
    return {**found, **_packages(root / STATUS)}


def owners_by_name(facts: Mapping[str, Facts], root: Path) -> dict[str, Facts]:
    """Tell owners by the names that the tree's own accounts have for them.

    The numbers are given in the order in which packages are configured, and that differs.
    """
    users, groups = (_names(root / path) for path in ("etc/passwd", "etc/group"))
    found: dict[str, Facts] = {}
    for path, known in facts.items():
        found[path] = known
        if owner := known.get("owner"):
            user, _, group = owner.partition(":")
            found[path] = {**known, "owner": f"{users.get(user, user)}:{groups.get(group, group)}"}
    return found


def _names(accounts: Path) -> dict[str, str]:
    rows = [line.split(":") for line in accounts.read_text(encoding="utf-8").splitlines()]
    return {row[2]: row[0] for row in rows}


def _walk(folder: Path, root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    yield folder, folder.lstat()
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root)
        else:
            yield path, path.lstat()


def _facts(path: Path, status: os.stat_result, epoch: int) -> dict[str, str]:
    mode = status.st_mode
    facts = {
        "kind": stat.filemode(mode)[0],
        "mode": f"{stat.S_IMODE(mode):04o}",
        "owner": f"{status.st_uid}:{status.st_gid}",
    }
    for name in os.listxattr(path, follow_symlinks=False):
        facts[name] = os.getxattr(path, name, follow_symlinks=False).hex()
    if stat.S_ISREG(mode):
        facts["content"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if stat.S_ISLNK(mode):
        facts["target"] = str(path.readlink())
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        facts["time"] = str(min(int(status.st_mtime), epoch))
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        facts["device"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return facts


def _packages(status: Path) -> dict[str, Facts]:
    """Read dpkg's status: of every package its fields, conffiles and their hashes among them."""
    found: dict[tuple[str, str], Facts] = {}
    for paragraph in status.read_text(encoding="utf-8").split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith(" "):
                fields[name] += f"\n{line}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            found[fields["Package"], fields["Architecture"]] = fields
    many = Counter(name for name, _ in found)
    return {
        f"dpkg:{name}:{arch}" if many[name] > 1 else f"dpkg:{name}": fields
        for (name, arch), fields in found.items()
    }
