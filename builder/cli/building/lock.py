"""`oven lock`: write down exactly which packages a recipe means."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.building.choosing import chosen_cells, only, profile
from builder.cli.terminal.verbose import verbose
from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.cli.building.workplace import Planned
    from builder.distros.changes import Changes
    from builder.model.lock import Lock


@click.command()
@click.argument("name", metavar="RECIPE|APPLIANCE")
@profile
@only
@click.option("--check", is_flag=True, help="Only say whether the lock fits the recipe.")
@click.option(
    "--update",
    is_flag=True,
    help="Take the newest versions, also when it still fits; print what changed.",
)
@click.option("--arch", metavar="ARCH", help="Lock for this architecture instead of the host's.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the lock there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@verbose
def lock(
    name: str,
    profiles: tuple[str, ...],
    only: tuple[str, ...],
    check: bool,  # noqa: FBT001  # click's way
    update: bool,  # noqa: FBT001
    arch: str | None,
    output: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Resolve a recipe against the signed archive and write its lock file.

    The file lies beside the recipe; commit it, and everybody builds from the same bytes. When the
    recipe has changed since, packages keep the versions that the lock has, as far as the archive
    still has them; --update takes the newest.
    """
    if check and update:
        raise click.UsageError("--check changes nothing, so --update cannot go with it")
    from builder.cli.building.workplace import open_workplace, plan_of

    cells = chosen_cells(name, profiles, only)
    if output and len(cells) > 1:
        raise click.UsageError("-o takes one lock, and these are several; choose with --only")
    with open_workplace() as work:
        rows = []
        for loaded in cells:
            planned = plan_of(loaded, arch, work)
            path = output or planned.files.committed
            if check:
                rows.append(_check(planned, path))
            else:
                _refuse_installed(name, planned, output)
                written, changes = _lock(planned, path, update=update)
                rows.append(_facts(path, changes, written=written))
    if as_json:
        click.echo(json.dumps(rows if len(rows) > 1 else rows[0], indent=2))


def _check(planned: "Planned", path: Path) -> dict[str, object]:
    from builder.recipes.lock_files import committed_lock

    committed_lock(planned.asked, dataclasses.replace(planned.files, committed=path))
    planned.tools.report.say(f"{path}: fits the recipe")
    return _facts(path, None, written=False)


def _refuse_installed(name: str, planned: "Planned", output: Path | None) -> None:
    from builder.host.places import is_installed

    if output is None and is_installed(planned.loaded.path):
        raise RecipeError(
            f"`{name}` comes with oven, and is not yours to lock",
            at=planned.loaded.path,
            hint="copy it into `recipes/` of a folder of yours, and lock it there",
        )


def _lock(planned: "Planned", path: Path, *, update: bool) -> "tuple[bool, Changes | None]":
    """Write the lock if it is another one now; tell whether, and what changed in an old one."""
    from builder.cli.building.changes import summary, table
    from builder.distros.changes import changes as compare
    from builder.distros.versions import order_of
    from builder.recipes.lock_files import read_lock, stale_keys, write_lock

    if not path.parent.is_dir():
        raise RecipeError(f"there is no folder `{path.parent}`")
    report = planned.tools.report
    old = read_lock(path) if path.exists() else None
    if old is not None and not update and not stale_keys(old, planned.asked):
        report.say(f"{path}: fits the recipe; --update takes newer versions")
        return False, None
    new = planned.resolve(None if update else old)
    if old is None:
        write_lock(path, new)
        report.say(f"{path}: {len(new.packages)} packages")
        return True, None
    changes = compare(old, new, order_of(new, planned.tools.run))
    if _same(old, new):
        report.say(f"{path}: nothing newer; left as it is")
        return False, changes
    write_lock(path, new)
    for line in table(changes):
        report.say(line)
    report.say(f"{path}: {len(new.packages)} packages; {summary(changes)}")
    return True, changes


def _same(old: "Lock", new: "Lock") -> bool:
    """Tell whether a lock names the same files; a newer index alone is no reason for a new one."""
    return old.packages == new.packages and old.asked == new.asked


def _facts(path: Path, changes: "Changes | None", *, written: bool) -> dict[str, object]:
    import msgspec

    return {
        "lock": str(path),
        "written": written,
        "counts": None if changes is None else changes.counts(),
        "changes": None if changes is None else msgspec.to_builtins(changes),
    }
