"""Repositories: where the backups of an instance go, and what opens them."""

import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.value import Value, canonical
from builder.runtime.record import layout
from builder.runtime.record.container import all_names, check_name
from builder.runtime.record.layout import folder_of
from builder.runtime.recovery import repair

FOLDER = "backup"
"""In the home: the password of its repositories, and what is at work."""
_ELSEWHERE = re.compile(r"[a-z0-9]+:")
_CREDENTIALS = re.compile(r"(s3|rest|sftp):.*://[^/]*:[^/]*@")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_PASSED = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION",
    "AWS_REGION", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "HOME", "SSH_AUTH_SOCK",
)  # fmt: skip
"""What restic and ssh know credentials by, where no file says them."""


class Repository(Value, frozen=True, kw_only=True):
    """Where backups are, in the words of restic(1)."""

    url: str
    """An absolute path, `sftp:…`, `s3:…` and whatever else restic knows."""
    password: str
    """The file with its password, which only its owner can read."""
    environment: str = ""
    """A file with credentials as `NAME=value`, which only its owner can read."""
    options: tuple[str, ...] = ()
    """Extended options, such as `sftp.command=ssh -F FILE HOST -s sftp`."""

    def variables(self) -> dict[str, str]:
        """Give what restic finds in its environment; RecipeError for a file that is none."""
        found = {name: os.environ[name] for name in _PASSED if name in os.environ}
        if not self.environment:
            return found
        path = secret_file(Path(self.environment))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not _VARIABLE.fullmatch(name):
                raise RecipeError(
                    f"line {number} of the credentials is no `NAME=value`",
                    at=path,
                    hint="such as `AWS_ACCESS_KEY_ID=…`, without quotes",
                )
            found[name] = value
        return found


class BackupPlan(Value, frozen=True, kw_only=True):
    """What an instance's backups are; kept as `backup.json` beside its record."""

    version: Literal[1] = 1
    repository: Repository
    every: Literal["daily"] | None = None
    """How often one is made without being asked for."""


def parse(text: str) -> str:
    """Read where a repository is: RecipeError for one that says its own credentials."""
    if not text or _CREDENTIALS.match(text):
        raise RecipeError(
            "the repository names a password, which everybody on this host could see"
            if text
            else "the repository has no name",
            hint="credentials go into `--credentials FILE`, as `AWS_ACCESS_KEY_ID=…` and the like",
        )
    return text if _ELSEWHERE.match(text) else os.path.abspath(text)  # noqa: PTH100  # links stay


def read(places: Places, name: str) -> BackupPlan | None:
    """Give what was said of an instance's backups; None where nothing was."""
    path = folder_of(places, name) / layout.BACKUP
    try:
        return msgspec.json.decode(path.read_bytes(), type=BackupPlan)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise HostError(
            f"what is known of backups of container `{name}` is damaged: {error}",
            at=path,
            hint=f"`oven backup init {name} --repository …` writes it anew",
        ) from error


def write(places: Places, name: str, plan: BackupPlan) -> None:
    """Keep what is said of an instance's backups."""
    check_name(name)
    path = folder_of(places, name) / layout.BACKUP
    with repair.holding(places, name), durable.disk_errors(path):
        durable.replace(path, canonical(plan))


def need(places: Places, name: str) -> BackupPlan:
    """Give what was said of an instance's backups; NotFoundError where nothing was."""
    check_name(name)
    plan = read(places, name)
    if plan is None:
        raise NotFoundError(
            f"nobody has said where backups of `{name}` are",
            hint=f"`oven backup init {name} --repository /srv/backups`, or say `--repository`",
        )
    return plan


def is_scheduled(places: Places) -> bool:
    """Tell whether any container is backed up without being asked for."""
    for name in all_names(places):
        if (folder_of(places, name) / layout.BACKUP).exists():
            plan = read(places, name)
            if plan is not None and plan.every:
                return True
    return False


def own_password(places: Places) -> Path:
    """Give the file that has the password of this home's repositories."""
    return places.data / FOLDER / "password"


def make_password(places: Places) -> bool:
    """Have that file; tell whether it is new."""
    import secrets

    path = own_password(places)
    with durable.disk_errors(places.data):
        durable.private(path.parent)
        with durable.locked(path.with_name(".password.lock")):
            if path.exists():
                return False
            durable.replace(path, f"{secrets.token_urlsafe(32)}\n".encode())
            path.chmod(0o600)
    return True


def secret_file(path: Path) -> Path:
    """Give a file that only its owner can read, or refuse it."""
    try:
        status = path.stat()
    except OSError as error:
        raise NotFoundError(
            f"cannot read the file `{path}`: {(error.strerror or str(error)).lower()}",
            hint="it opens the repository; without it backups cannot be read",
        ) from error
    if status.st_mode & 0o077:
        raise ConflictError(f"others than its owner can read `{path}`", hint=f"chmod 600 {path}")
    return path
