"""Merging: what becomes of a file that both an administrator and a new template have changed."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import msgspec

from builder.distros.package_manager import OwnPath
from builder.host.programs import PROMPT, Command, find_program, memory_file, on_host
from builder.runtime.diff.ignored import matches

How = Literal["accounts", "template", "database", "keep", "lines"]


class MergeRule(msgspec.Struct, frozen=True):
    """What is done with paths that both sides have changed; the first rule that fits counts.

    `accounts` are united by name, `template` takes the template's, `database` does so whoever has
    changed it, since it must tell of the files that are there, `keep` stays silently as it is in
    the container, and `lines` is merged line by line where that gives no conflict; else it stays,
    with the template's beside it.
    """

    path: str
    how: How
    reason: str


RULES: tuple[MergeRule, ...] = (
    MergeRule("etc/passwd", "accounts", "users of both are needed, with the ids that files have"),
    MergeRule("etc/group", "accounts", "the same for groups"),
    MergeRule("etc/shadow", "accounts", "passwords are the container's"),
    MergeRule("etc/gshadow", "accounts", "the same for groups"),
    MergeRule("etc/subuid", "accounts", "ranges of ids belong to users"),
    MergeRule("etc/subgid", "accounts", "the same for groups"),
    MergeRule("etc/machine-id", "keep", "the machine's own"),
    MergeRule("etc/hostname", "keep", "the machine's own"),
    MergeRule("etc/hosts", "keep", "written at each start, or by hand"),
    MergeRule("etc/resolv.conf", "keep", "written at each start, or by hand"),
    MergeRule("etc/ld.so.cache", "template", "ldconfig makes it again after the start"),
    MergeRule("var/log/**", "keep", "logs"),
    MergeRule("var/cache/**", "keep", "made again when it is missed"),
    MergeRule("var/lib/systemd/**", "keep", "the machine's own"),
    MergeRule("run/**", "keep", "lives until the next stop only"),
    MergeRule("tmp/**", "keep", "for a short time"),
    MergeRule("var/tmp/**", "keep", "for a short time"),
    MergeRule("**/__pycache__/**", "template", "made again when it is missed"),
)

BESIDE = ".oven-new"
"""What the name of the template's version ends with, where the container's stays."""


def rule_of(path: str, own: tuple[OwnPath, ...] = ()) -> How:
    """Say what is done with a path; `own` are those of the package manager."""
    for row in own:
        if row.how != "ignored" and matches(path, (row.path,)):
            return row.how
    return next((rule.how for rule in RULES if matches(path, (rule.path,))), "lines")


@dataclass(frozen=True, slots=True)
class Three:
    """A text on all sides: of the old template, the new one, and the container."""

    old: bytes
    new: bytes
    own: bytes


def merge_lines(three: Three) -> bytes | None:
    """Merge the lines of both sides; None where they conflict, or cannot be merged at all.

    By diff3(1) of diffutils. It reads what a container wrote, and so has no rights here.
    """
    diff3, setpriv = find_program("diff3"), find_program("setpriv")
    if not diff3 or not setpriv or any(b"\0" in text for text in (three.old, three.new, three.own)):
        return None
    with ExitStack() as stack:
        fds = []
        for text in (three.own, three.old, three.new):
            file = stack.enter_context(memory_file())
            file.write(text)
            file.flush()
            fds.append(file.fileno())
        argv = (
            str(setpriv), "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", str(diff3), "--merge", "--text",
            *(f"/dev/fd/{fd}" for fd in fds),
        )  # fmt: skip
        done = on_host(Command(argv, pass_fds=tuple(fds), limit=PROMPT))
    return done.stdout if done.code == 0 else None


def merge_accounts(three: Three) -> bytes:
    """Unite tables such as `/etc/passwd` by name: the container's lines stay as they are.

    A name that the template adds comes last; one that the container has deleted stays so.
    """
    old, new = _rows(three.old), _rows(three.new)
    lines = [_united(line, old, new) for line in three.own.splitlines()]
    have = _rows(three.own)
    lines += [line for name, line in new.items() if name not in have and name not in old]
    return b"".join(line + b"\n" for line in lines)


def clashes(three: Three, path: str) -> Iterator[str]:
    """Say which ids of users or groups mean different names on both sides."""
    if path not in {"etc/passwd", "etc/group"}:
        return
    what = "user" if path == "etc/passwd" else "group"
    own, new, old = (_ids(text) for text in (three.own, three.new, three.old))
    owners = {number: name for name, number in own.items()}
    for name, number in new.items():
        if name in own:
            if own[name] != number:
                yield (
                    f"{what} `{_text(name)}` has the id {_text(own[name])} in the container and "
                    f"{_text(number)} in the template"
                )
        elif name not in old and number in owners:
            yield (
                f"the id {_text(number)} is {what} `{_text(owners[number])}` in the container and "
                f"`{_text(name)}` in the template"
            )


def _united(line: bytes, old: dict[bytes, bytes], new: dict[bytes, bytes]) -> bytes:
    """Give the line of a name that may be on all sides."""
    name = line.split(b":")[0]
    if name not in old or name not in new:
        return line
    if line == old[name]:
        return new[name]
    own, theirs = line.split(b":"), new[name].split(b":")
    if len(own) == 4 and len(theirs) == 4 and own[3:] != theirs[3:] and new[name] != old[name]:
        # A group that both have given members.
        members = dict.fromkeys(own[3].split(b",") + theirs[3].split(b","))
        return b":".join((*own[:3], b",".join(member for member in members if member)))
    return line


def _rows(text: bytes) -> dict[bytes, bytes]:
    return {line.split(b":")[0]: line for line in text.splitlines() if b":" in line}


def _ids(text: bytes) -> dict[bytes, bytes]:
    rows = {name: line.split(b":") for name, line in _rows(text).items()}
    return {name: row[2] for name, row in rows.items() if len(row) > 2}


def _text(word: bytes) -> str:
    return word.decode(errors="replace")
