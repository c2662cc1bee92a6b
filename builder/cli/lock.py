"""`oven lock`: write down exactly which packages a recipe means."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.verbose import verbose
from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.model.lock import Lock


@click.command()
@click.argument("name", metavar="RECIPE|APPLIANCE")
@click.option("--check", is_flag=True, help="Only say whether the lock fits the recipe.")
@click.option("--update", is_flag=True, help="Take the newest versions, also when it still fits.")
@click.option("--arch", help="Lock for this architecture instead of the host's.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the lock there.")
@verbose
def lock(name: str, check: bool, update: bool, arch: str | None, output: Path | None) -> None:  # noqa: FBT001
    """Resolve a recipe against the signed archive and write its lock file.

    The file lies beside the recipe; commit it, and everybody builds from the same bytes.
    """
    if check and update:
        raise click.UsageError("--check changes nothing, so --update cannot go with it")
    from builder.cli.workplace import open_workplace, plan
    from builder.host.places import is_installed
    from builder.stages.resolve import committed_lock, read_lock, stale_keys, write_lock

    with open_workplace() as work:
        planned = plan(name, arch, work)
        report = work.tools.report
        path = output or planned.files.committed
        if check:
            committed_lock(planned.asked, dataclasses.replace(planned.files, committed=path))
            report.say(f"{path}: fits the recipe")
            return
        if output is None and is_installed(planned.loaded.path):
            raise RecipeError(
                f"`{name}` comes with oven, and is not yours to lock",
                at=planned.loaded.path,
                hint="copy it into `recipes/` of a folder of yours, and lock it there",
            )
        if not path.parent.is_dir():
            raise RecipeError(f"there is no folder `{path.parent}`")
        old = read_lock(path) if path.exists() else None
        if old is not None and not update and not stale_keys(old, planned.asked):
            report.say(f"{path}: fits the recipe; --update takes newer versions")
            return
        new = planned.resolve()
        write_lock(path, new)
        for line in _changes(old, new) if old else ():
            report.say(f"  {line}")
        report.say(f"{path}: {len(new.packages)} packages")


def _changes(old: "Lock", new: "Lock") -> Iterator[str]:
    """Say which packages have another version, or come, or go."""
    before = {one.name: one.version for one in old.packages}
    after = {one.name: one.version for one in new.packages}
    for package in sorted(before.keys() | after.keys()):
        if before.get(package) != after.get(package):
            yield (f"{package}: {before.get(package, 'absent')} -> {after.get(package, 'removed')}")
