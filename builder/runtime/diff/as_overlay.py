"""What was changed by hand, written down as the overlay and the package list of a recipe."""

import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from builder.distros.package_manager import PackageContents, changes, package_manager
from builder.distros.traces import BUILDS_OWN, IDENTITY
from builder.host.overlayfs.layered import Layers
from builder.host.trees.durable import disk_errors
from builder.model.errors import ConflictError
from builder.model.toml.text import inline
from builder.model.visible import visible
from builder.runtime.diff import as_users
from builder.runtime.diff.as_users import RecipeAccounts
from builder.runtime.diff.difference import Difference, differences
from builder.runtime.diff.ignored import matches
from builder.runtime.record.container import Container

SECRETS = (
    "etc/shadow", "etc/gshadow", "etc/ssh/ssh_host_*", "etc/ssl/private/**", "root/.ssh/id_*",
    "home/*/.ssh/id_*", "root/.gnupg/**", "home/*/.gnupg/**", "etc/bind/rndc.key",
    "etc/letsencrypt/**", "var/lib/rabbitmq/.erlang.cookie", "root/.netrc", "root/.pgpass",
    "root/.aws/**", "root/.docker/config.json", "etc/machine-id",
    *(rule.path for rule in IDENTITY if rule not in BUILDS_OWN),
)  # fmt: skip
"""Never put into a recipe, whatever is in them; and any file with a private key in it."""

MADE = (
    "var/lib/systemd/**", "var/lib/pam/**",
    "etc/passwd", "etc/group", "etc/subuid", "etc/subgid", "etc/alternatives/**", "etc/rc*.d/**",
    "etc/pam.d/common-*",
    "etc/ssl/certs/**", "etc/ca-certificates.conf", "var/lib/vim/**", "usr/share/info/dir",
    "var/lib/python/**", "var/lib/update-rc.d/**", "usr/share/mime/**",
)  # fmt: skip
"""Made by packages when they are installed; a recipe says `[packages]` and `[[user]]` instead. So
is all that belongs to their manager."""

SCRIPT = "owners"
"""Beside the overlay, what sets owners, modes and groups."""
_USUAL = {"folder": (0o755,), "file": (0o644, 0o755)}
"""Modes that an overlay gives by itself."""
_KEY_LIMIT = 4 << 20
_LARGEST = 1 << 30
"""Bytes of a file in an overlay. All of it lands on the disk of whoever asks, and in each build."""
_LARGEST_SHIPPED = 4 << 20
"""Bytes of a configuration file of a package."""


@dataclass(slots=True)
class WrittenOverlay:
    """What became of a container's changes."""

    files: list[str] = field(default_factory=list)
    """Paths that the overlay has now."""
    notes: list[str] = field(default_factory=list)
    """What an overlay cannot say, or must not."""
    deleted: list[str] = field(default_factory=list)
    install: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    accounts: RecipeAccounts = field(default_factory=RecipeAccounts)
    commands: list[str] = field(default_factory=list)
    """Lines of the script that does what an overlay cannot say."""
    links: dict[tuple[int, int], Path] = field(default_factory=dict)
    """Files with several names, which take room once."""

    def recipe(self) -> str:
        """Give it as lines for a recipe."""
        lines = [f"# {visible(note)}" for note in self.notes]
        lines += [f"# deleted by hand: /{visible(path)}" for path in self.deleted]
        lines += [f"# removed package: {visible(name)}" for name in self.removed]
        if self.install:
            names = "".join(f"    {inline(name)},\n" for name in self.install)
            lines += ["[packages]", f"install = [\n{names}]"]
        lines += self.accounts.lines()
        if self.commands:
            lines += ["", "[[script]]", f'path = "{SCRIPT}"']
        return "".join(f"{line}\n" for line in lines)


def write(layers: Layers, container: Container, folder: Path) -> WrittenOverlay:
    """Write the overlay into a folder, where there must be none yet."""
    overlay = folder / "overlay"
    for taken, what in ((overlay, "an overlay"), (folder / SCRIPT, "a script")):
        if taken.exists():
            raise ConflictError(f"there is {what} already: `{taken}`", hint="name another folder")
    written = WrittenOverlay()
    changed, manager = changes(layers), package_manager(layers)
    added = manager.contents(layers.find, changed.added)
    renewed = manager.contents(layers.find, (after for _, after in changed.changed))
    shipped = _shipped(added) | _shipped(renewed)
    written.install = sorted({one.name for one in changed.added if not one.automatic})
    written.removed = [one.name for one in changed.removed]
    written.accounts = as_users.read(layers, added.words)
    written.notes += written.accounts.notes
    written.commands += written.accounts.commands
    gone = manager.contents(layers.below, changed.removed).files
    made = MADE + tuple(row.path for row in manager.own)
    with disk_errors(folder):
        overlay.mkdir(parents=True)
        for difference in differences(layers, container):
            path = difference.row.path
            if matches(path, made) or path in gone or _is_shipped(difference, shipped):
                continue
            _write(difference, overlay, written)
        if written.commands:
            text = "".join(f"{line}\n" for line in ("#!/bin/sh", "set -e", *written.commands))
            (folder / SCRIPT).write_bytes(text.encode(errors="surrogateescape"))
            (folder / SCRIPT).chmod(0o755)
    return written


def _shipped(contents: PackageContents) -> dict[str, str]:
    """Give what packages brought; with a digest, where a person may have changed it."""
    return dict.fromkeys(contents.files, "") | contents.configs


def _is_shipped(difference: Difference, shipped: dict[str, str]) -> bool:
    path, seen = difference.row.path, difference.pair.seen
    # The files of a merged /usr are listed with and without it.
    known = next((p for p in (path, path.removeprefix("usr/")) if p in shipped), None)
    if known is None or seen is None:
        return False
    if not shipped[known] or not seen.is_file:
        return True
    if seen.status.st_size > _LARGEST_SHIPPED:
        return False
    algorithm, _, shipped_digest = shipped[known].partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in seen.pieces():
        digest.update(piece)
    return digest.hexdigest() == shipped_digest


def _write(difference: Difference, overlay: Path, written: WrittenOverlay) -> None:
    row, seen = difference.row, difference.pair.seen
    if seen is None:
        written.deleted.append(row.path)
        return
    for note in _notes(difference):
        written.notes.append(f"/{row.path}: {note}")
        if note.startswith("left out"):
            return
    written.commands += _owned(difference, written.accounts)
    target = overlay / row.path
    if row.kind == "folder":
        if row.what == "added":
            target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if row.kind == "link":
        target.symlink_to(seen.target())
    else:
        _write_file(target, difference, written)
    written.files.append(row.path)


def _write_file(target: Path, difference: Difference, written: WrittenOverlay) -> None:
    row, seen = difference.row, difference.pair.seen
    assert seen is not None  # it is to be written
    inode = (seen.status.st_dev, seen.status.st_ino)
    if seen.status.st_nlink > 1 and inode in written.links:
        target.hardlink_to(written.links[inode])
        return
    with target.open("xb") as file:
        seen.pour(file.fileno())
    target.chmod(0o755 if row.mode & 0o100 else 0o644)
    written.links[inode] = target


def _notes(difference: Difference) -> Iterator[str]:
    row, seen = difference.row, difference.pair.seen
    if matches(row.path, SECRETS):
        yield "left out: a secret, or one machine's own"
    elif row.kind not in {"file", "folder", "link"}:
        yield f"left out: an overlay has no {row.kind}"
    elif row.path.endswith(".j2"):
        yield "left out: an overlay would render it; have a script write it"
    elif row.kind == "file" and row.size > _LARGEST:
        yield f"left out: larger than {_LARGEST >> 20} MiB"
    elif seen is not None and row.kind == "file" and _has_key(seen.pieces()):
        yield "left out: it holds a private key"


def _owned(difference: Difference, accounts: RecipeAccounts) -> Iterator[str]:
    """Give the commands that set owner and mode, where an overlay has others."""
    row = difference.row
    path, is_owned = f"/{row.path}", bool(row.uid or row.gid or "owner" in row.of)
    if is_owned:
        owner = accounts.owner(row.uid, row.gid)
        yield shlex.join(("chown", "--no-dereference", owner, "--", path))
    # An overlay changes neither of a folder that is there already.
    usual = () if "mode" in row.of and row.kind == "folder" else _USUAL.get(row.kind, (row.mode,))
    if row.mode not in usual or (is_owned and row.kind in _USUAL):
        yield shlex.join(("chmod", f"{row.mode:04o}", "--", path))


def _has_key(pieces: Iterator[bytes]) -> bool:
    return b"PRIVATE KEY-----" in next(pieces, b"")[:_KEY_LIMIT]
