"""Resolve: which packages a recipe means, kept in a lock file that people can review."""

from builder.distros import ArchiveSources, distro
from builder.model.lock import Asked, Lock
from builder.stages.tools import Tools


def resolve(asked: Asked, sources: ArchiveSources, tools: Tools, keep: Lock | None = None) -> Lock:
    """Ask the signed archive which packages are meant now; versions of `keep` stay if they can."""
    task = tools.report.begin(f"resolve {asked.distro} {asked.suite}")
    try:
        lock = distro(asked.distro).resolve(asked, sources, tools.run, keep)
    except BaseException:
        task.close("failed")
        raise
    task.close(f"{len(lock.packages)} packages")
    return lock
