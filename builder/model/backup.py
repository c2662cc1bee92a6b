"""Backups of an instance: what is done before and after one, and how long each is kept."""

from typing import Annotated

import msgspec

from builder.model.health import seconds
from builder.model.names import AbsolutePath, Line, TimeSpan
from builder.model.value import Value

Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class BackupCommand(Value, frozen=True, kw_only=True):
    """A command that is run inside, as root, beside a backup."""

    command: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1)]
    """What is run, and has to end with 0."""
    timeout: TimeSpan = "5m"
    """How long it may take."""

    @property
    def limit(self) -> float:
        """How long it may take, in seconds."""
        return seconds(self.timeout)


class Retention(Value, frozen=True, kw_only=True):
    """How many backups are kept, in the words of restic-forget(1).

    Of each day, week and so on it is the last one that counts.
    """

    last: Count = 0
    """So many of the newest ones."""
    hourly: Count = 0
    """For so many hours that have one."""
    daily: Count = 0
    """For so many days that have one."""
    weekly: Count = 0
    """For so many weeks that have one."""
    monthly: Count = 0
    """For so many months that have one."""
    yearly: Count = 0
    """For so many years that have one."""

    def words(self) -> tuple[str, ...]:
        """Give it as restic's options."""
        counts = msgspec.structs.asdict(self).items()
        return tuple(word for key, n in counts if n for word in (f"--keep-{key}", str(n)))


USUAL = Retention(daily=7, weekly=4, monthly=12)
"""What is kept where nobody says anything."""


class BackupSpec(Value, frozen=True, kw_only=True):
    """How the volumes of an instance are backed up.

    [Back up an appliance](../how-to/back-up-an-appliance.md) tells what else is in a backup.
    """

    before: tuple[BackupCommand, ...] = ()
    """What is run inside first, such as the dump of a database; where one fails there is no
    backup."""
    after: tuple[BackupCommand, ...] = ()
    """What is run inside once the data is copied, or that has failed."""
    exclude: tuple[AbsolutePath, ...] = ()
    """What is left out: files and folders in volumes, by their paths inside; `*` and `?` stand for
    any characters of a name, and `**` for any folders."""
    keep: Retention | None = None
    """How many backups `oven backup prune` leaves; by default one for each of 7 days, 4 weeks and
    12 months."""
