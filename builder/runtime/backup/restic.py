"""restic: how Oven calls it, and what its failures mean to whoever has to act."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from builder.host.places import Places
from builder.host.process.hearing import hearing
from builder.host.programs import PROMPT, Command, Done, HungError, failed, is_full, on_host
from builder.model.errors import (
    ConflictError,
    HostError,
    NotFoundError,
    OvenError,
    TrustError,
    UpstreamError,
)
from builder.model.progress import Reporter
from builder.runtime.backup.repository import Repository, secret_file

TAG = "oven"
"""What all backups of Oven are called, beside others in the same repository."""

_LOCKED = re.compile(r"already locked|unable to create lock|lock is older", re.IGNORECASE)
_NONE = re.compile(
    r"unable to open config file: .*(does not exist|no such file or directory)"
    r"|repository does not exist"
)
_PASSWORD = re.compile(r"wrong password or no key found")
_UNREACHABLE = re.compile(
    r"ssh: connect to|Permission denied \(|unable to start the sftp session|connection refused"
    r"|no such host|no route to host|network is unreachable|timeout|client\.BucketExists"
    r"|connection lost|unable to open config file|Access Denied|Access Key",
    re.IGNORECASE,
)
_DAMAGED = re.compile(
    r"ciphertext verification failed|invalid data returned|repository contains errors"
    r"|does not match id|unable to decrypt|not found in repository|is damaged|id not found"
    r"|were errors|integrity|unexpected EOF|failed: load|not referenced|hash mismatch",
    re.IGNORECASE,
)
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


class DamagedError(HostError):
    """A repository holds other bytes than were once written."""


class Backup(msgspec.Struct, frozen=True):
    """A backup as restic lists it; whoever can write to the repository wrote that."""

    id: str
    time: str
    """When it was made (RFC 3339)."""
    hostname: str = ""
    """The instance."""
    tags: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """What a person types."""
        return self.id[:8]

    @property
    def template(self) -> str:
        """The name of the template that the instance stood on."""
        named = (tag for tag in self.tags if tag.startswith("template:"))
        return next(named, "").removeprefix("template:")


class _Status(msgspec.Struct):
    message_type: str = ""
    bytes_done: int = 0
    snapshot_id: str = ""


class Restic:
    """The program, turned to one repository."""

    def __init__(self, places: Places, repository: Repository, report: Reporter) -> None:
        self._places = places
        self._repository = repository
        self._report = report

    def exists(self) -> bool:
        """Tell whether there is a repository that the password opens."""
        try:
            self._ask("cat", "config", "--no-lock", limit=PROMPT)
        except NotFoundError:
            return False
        return True

    def init(self) -> None:
        """Make the repository."""
        self._ask("init")

    def listed(self, name: str) -> list[Backup]:
        """Give the backups of an instance, the oldest first."""
        words = ("snapshots", "--json", "--no-lock", "--host", name, "--tag", TAG)
        said = self._ask(*words, limit=10 * PROMPT)
        try:
            found = msgspec.json.decode(said, type=list[Backup] | None)
        except msgspec.MsgspecError as error:
            raise TrustError(f"the list of backups cannot be read: {error}") from error
        return sorted(found or (), key=lambda one: one.time)

    def save(self, folder: Path, words: tuple[str, ...], lock: int) -> str:
        """Put all of a folder into the repository; give the id of that.

        `lock` stays open in restic as long as it reads, also when this process is killed.
        """
        task = self._report.begin("saving", unit="B")
        last = _Status()
        done_before = 0

        def hear(line: bytes) -> None:
            nonlocal last, done_before
            with contextlib.suppress(msgspec.MsgspecError):
                status = msgspec.json.decode(line, type=_Status)
                if status.message_type == "summary":
                    last = status
                elif status.bytes_done > done_before:
                    task.advance(status.bytes_done - done_before)
                    done_before = status.bytes_done

        try:
            self._ask("backup", "--json", *words, ".", hear=hear, cwd=folder, lock=lock)
        except BaseException:
            if last.snapshot_id:  # it lacks what could not be read
                with contextlib.suppress(OvenError):
                    self._ask("forget", last.snapshot_id)
            raise
        finally:
            task.close()
        return last.snapshot_id

    def restore(self, backup: Backup, target: Path, lock: int) -> None:
        """Lay all of a backup into an empty folder."""
        task = self._report.begin(f"restoring {backup.short}")
        try:
            self._ask("restore", backup.id, "--target", str(target), lock=lock)
        finally:
            task.close()

    def check(self, *, read_data: bool) -> None:
        """Look whether the repository is whole; `read_data` all of its bytes."""
        task = self._report.begin("checking the repository")
        try:
            self._ask("check", *(("--read-data",) if read_data else ()))
        finally:
            task.close()

    def forget(self, name: str, keep: tuple[str, ...]) -> None:
        """Remove the backups of an instance that need not be kept, and what only they have."""
        task = self._report.begin("pruning the repository")
        try:
            self._ask(
                "forget", "--prune", "--host", name, "--tag", TAG, "--group-by", "host", *keep
            )
        finally:
            task.close()

    def _ask(
        self,
        *words: str,
        hear: Callable[[bytes], None] | None = None,
        cwd: Path | None = None,
        lock: int | None = None,
        limit: float | None = None,
    ) -> bytes:
        command = Command(
            (*self._begin(), *words),
            env={**self._repository.variables(), "RESTIC_PROGRESS_FPS": "2"},
            cwd=cwd,
            pass_fds=() if lock is None else (lock,),
            limit=limit,
        )
        done = self._done(command, hear)
        if done.code != 0 and _LOCKED.search(done.output):
            # That removes the locks of dead processes of this host, and no others.
            on_host(Command((*self._begin(), "unlock"), env=command.env, limit=PROMPT))
            done = self._done(command, hear)
        if done.code != 0:
            self._fail(command, done)
        return done.stdout

    def _done(self, command: Command, hear: Callable[[bytes], None] | None) -> Done:
        try:
            return on_host(command) if hear is None else hearing(command, hear)
        except HungError as error:
            raise UpstreamError(
                f"the repository `{self._repository.url}` gives no answer"
                f" within {command.limit:g} seconds",
                hint="see whether it can be reached from this host",
            ) from error

    def _begin(self) -> tuple[str, ...]:
        password = secret_file(Path(self._repository.password))
        options = (word for one in self._repository.options for word in ("--option", one))
        cache = self._places.cache / "restic"
        return (
            "restic", f"--repo={self._repository.url}", f"--password-file={password}",
            f"--cache-dir={cache}", *options,
        )  # fmt: skip

    def _fail(self, command: Command, done: Done) -> NoReturn:
        """Raise what a failure of restic means; versions before 0.17 tell by words alone."""
        url, said = self._repository.url, done.output
        if _PASSWORD.search(said):
            raise ConflictError(
                f"the password in `{self._repository.password}` does not open the repository"
                f" `{url}`",
                hint="`--password-file` names the file that does",
            )
        if _NONE.search(said):
            raise NotFoundError(
                f"there is no repository at `{url}`", hint="`oven backup init` makes one"
            )
        if _LOCKED.search(said):
            raise ConflictError(
                f"the repository `{url}` is locked: another host or command is at work on it",
                hint=f"wait for it; if it is dead: `{' '.join(self._begin())} unlock`",
            )
        if _FULL.search(said) or is_full(said):
            raise HostError(
                f"no space left on the disk, or in the repository `{url}`",
                hint="`oven backup prune` frees what need not be kept; then run the same again",
            )
        if _DAMAGED.search(said):
            raise DamagedError(
                f"the repository `{url}` is damaged: {_last(said)}",
                hint="keep it, make a new one, and see what `restic check --read-data` says of it",
            )
        if _UNREACHABLE.search(said):
            raise UpstreamError(
                f"the repository `{url}` cannot be reached: {_last(said)}",
                hint="see whether this host can, with these credentials",
            )
        raise failed(command, done)


def _last(said: str) -> str:
    """Give the line that says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("Fatal", "error", "Error"))]
    return (fatal or lines or ["no reason"])[-1][:300].removeprefix("Fatal: ")
