"""Lock files: where they lie, when one is made anew, and how they are written for people."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.host.trees.durable import disk_errors, replace
from builder.model.errors import RecipeError
from builder.model.lock import Asked, Lock, changed_keys
from builder.model.progress import Reporter
from builder.model.value import digest_of

FRESH = 24 * 3600
"""For how many seconds a lock that nobody asked for is used again."""


@dataclass(frozen=True, slots=True)
class LockFiles:
    """Where the lock of a recipe may be."""

    name: str
    """The recipe's."""
    committed: Path
    """Beside the recipe, if somebody made one; for people to review and commit: see `lock_path`."""
    cache: Path
    """The folder of what may be deleted, for the lock that is made when there is none."""

    def implicit(self, asked: Asked) -> Path:
        """Give the path of the lock that nobody asked for."""
        return self.of_build(asked.arch)

    def of_build(self, arch: str) -> Path:
        """Give the path of the lock that a build without one has made for an architecture."""
        return self.cache / "locks" / f"{self.name}-{arch}.json"


def lock_path(lock: Path, arch: str, arches: Sequence[str]) -> Path:
    """Give the place of a recipe's lock for one of its architectures.

    The first one that the recipe names has the plain name `NAME.lock`, others `NAME.ARCH.lock`, so
    that each can be reviewed and renewed without the others.
    """
    return lock if arch == arches[0] else lock.with_suffix(f".{arch}{lock.suffix}")


def committed_lock(asked: Asked, files: LockFiles) -> Lock:
    """Give the lock beside the recipe; raises RecipeError when it is missing or stale."""
    again = f"`oven lock {files.name}` makes it; review and commit it"
    if not files.committed.exists():
        raise RecipeError(f"`{files.name}` has no lock file", at=files.committed, hint=again)
    lock = read_lock(files.committed)
    if keys := stale_keys(lock, asked):
        raise RecipeError(
            f"the lock is stale: {_listed(keys)} changed since it was made",
            at=files.committed,
            hint=again,
        )
    return lock


Make = Callable[[Lock | None], Lock]
"""Resolves; what the given lock has chosen stays as far as that is possible."""


def lock_for(asked: Asked, files: LockFiles, make: Make, report: Reporter, *, now: float) -> Lock:
    """Give the lock to build with, making it with `make` when there is none that fits.

    A lock beside the recipe counts before all else, and is extended when the recipe changed.
    Without one, or with one for another architecture, the lock that the last build made is used
    again for a day, and extended in the same way.
    """
    if files.committed.exists():
        lock = read_lock(files.committed)
        keys = stale_keys(lock, asked)
        if not keys:
            return lock
        if lock.asked.arch == asked.arch:
            report.say(
                f"the lock of {files.name} is stale ({_listed(keys)}): resolving anew,"
                " other packages keep their versions"
            )
            lock = make(lock)
            write_lock(files.committed, lock)
            return lock
        # Somebody's reviewed lock is not the place for what another architecture needs.
        missing = f"the lock file is for {lock.asked.arch}, not {asked.arch}"
    else:
        missing = "no lock file"
    return _implicit(asked, files, make, lambda text: report.say(f"{text}; {missing}"), now=now)


def _implicit(
    asked: Asked, files: LockFiles, make: Make, say: Callable[[str], None], *, now: float
) -> Lock:
    """Give the lock that nobody asked for; one that is older than a day is made from nothing."""
    path = files.implicit(asked)
    kept, made_at = _recent(path, now)
    if kept is None:
        say(f"{files.name}: newest package versions")
        lock = make(None)
        write_lock(path, lock)
        return lock
    say(f"{files.name}: package versions as of the last build")
    if not stale_keys(kept, asked):
        return kept
    lock = make(kept)
    write_lock(path, lock)
    # Or small changes, one a day, would keep old versions for ever.
    os.utime(path, (made_at, made_at))
    return lock


def forget(lock: Lock, files: LockFiles) -> bool:
    """Remove a lock if nobody asked for it; False for one that a person keeps."""
    path = files.implicit(lock.asked)
    try:
        if read_lock(path) != lock:
            return False
    except (FileNotFoundError, RecipeError):
        return False
    path.unlink(missing_ok=True)
    return True


def stale_keys(lock: Lock, asked: Asked) -> tuple[str, ...]:
    """Name the recipe's keys that changed since a lock was made; none if it still fits."""
    return changed_keys(lock.asked, asked)


def _recent(path: Path, now: float) -> tuple[Lock | None, float]:
    """Read a lock that nobody asked for, and when it was made; none if it is old or damaged."""
    try:
        made_at = path.stat().st_mtime
        lock = read_lock(path)
    except (FileNotFoundError, RecipeError):
        return None, 0
    return (lock, made_at) if 0 <= now - made_at < FRESH else (None, 0)


def _listed(keys: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def read_lock(path: Path) -> Lock:
    """Read a lock file; raises RecipeError for one that is damaged."""
    hint = "take it from version control again, or delete it"
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except (IsADirectoryError, PermissionError) as error:
        problem = f"the lock file cannot be read: {(error.strerror or '').lower()}"
        raise RecipeError(problem, at=path) from error
    except msgspec.DecodeError as error:
        raise RecipeError(
            f"the lock file is damaged: {_lower(error)}", at=path, hint=hint
        ) from error
    if lock.recipe != digest_of(lock.asked):
        raise RecipeError(
            "the lock file is damaged: `recipe` is not the digest of `asked`", at=path, hint=hint
        )
    return lock


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock file, whole or not at all."""
    with disk_errors(path):
        replace(path, format_lock(lock).encode())


def format_lock(lock: Lock) -> str:
    """Write a lock so that a change of one package is a change of few lines."""
    fields = msgspec.to_builtins(lock)
    parts = []
    for key in sorted(fields):
        value = fields[key]
        if key in {"packages", "releases"}:
            shown = "[\n" + ",\n".join(map(_object, value)) + "\n  ]" if value else "[]"
        else:
            shown = json.dumps(value, sort_keys=True, indent=2).replace("\n", "\n  ")
        parts.append(f'  "{key}": {shown}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _object(fields: dict[str, object]) -> str:
    """Write an object on a few lines: short facts together, each hash and path on its own."""
    return "    {\n      " + ",\n      ".join(_lines(fields)) + "\n    }"


def _lines(fields: dict[str, object]) -> Iterator[str]:
    alone = [key for key in ("path", "sha256", "signed-by") if key in fields]
    together = {key: value for key, value in fields.items() if key not in alone}
    yield json.dumps(together)[1:-1]
    for key in alone:
        yield json.dumps({key: fields[key]})[1:-1]
