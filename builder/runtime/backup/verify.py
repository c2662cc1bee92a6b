"""Verifying: a backup counts once an instance that was made of it has shown that it works."""

import os
from dataclasses import dataclass

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import StageError
from builder.model.progress import Reporter
from builder.runtime.backup import restore, work
from builder.runtime.backup.repository import Repository
from builder.runtime.backup.restic import Restic
from builder.runtime.backup.restore import RestoreRequest
from builder.runtime.health import checkup
from builder.runtime.lifecycle import control


@dataclass(frozen=True, slots=True)
class Verified:
    """What was tried."""

    backup: str
    probes: int
    """How many probes have passed; without any, all that is known is that it starts."""


def verify(
    places: Places,
    wanted: RestoreRequest,
    repository: Repository,
    report: Reporter,
    *,
    read_data: bool,
) -> Verified:
    """Check a repository, and try a backup in a container without network, which is gone then.

    StageError when that does not start, or its deep health fails.
    """
    restic = Restic(places, repository, report)
    backup = restore.pick(restic, wanted.name, wanted.backup)
    restic.check(read_data=read_data)
    trial = RestoreRequest(
        wanted.name,
        f"verify-{os.urandom(4).hex()}",
        backup=backup.id,
        template=wanted.template,
        apart=True,
    )
    with work.begun(places) as at_work, durable.disk_errors(places.data):
        restore.lay(places, trial, restic, (backup, at_work))
        control.start(places, trial.new, report)
        outcomes = checkup.look(places, trial.new, "deep")
        wrong = [one for one in outcomes if not one.healthy]
        if wrong:
            raise StageError(
                f"the backup {backup.short} of `{wanted.name}` was restored, and does not work:"
                f" `{wrong[0].probe.name}`: {wrong[0].reason}",
                hint=f"`oven backup restore {wanted.name} --as OTHER --snapshot {backup.short}`"
                " makes one to look into",
                output="\n".join(line for one in wrong for line in one.lines),
            )
        work.remove_throwaway(places, trial.new)
    return Verified(backup.short, len(outcomes))
