"""`oven lock`: write down exactly which packages a recipe means."""

from pathlib import Path

import click

from builder.cli.verbose import verbose
from builder.model.errors import RecipeError


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
    from builder.cli.workplace import open_workplace, plan
    from builder.host.places import is_installed
    from builder.stages.resolve import committed_lock, read_lock, stale_keys, write_lock

    with open_workplace() as work:
        planned = plan(name, arch, work)
        report = work.tools.report
        path = output or planned.files.committed
        if output is None and not check and is_installed(planned.loaded.path):
            raise RecipeError(
                f"`{name}` comes with oven, and is not yours to lock",
                at=planned.loaded.path,
                hint="copy it into `recipes/` of a folder of yours, and lock it there",
            )
        if check:
            committed_lock(planned.asked, planned.files)
            report.say(f"{path}: fits the recipe")
            return
        old = read_lock(path) if path.exists() else None
        if old is not None and not update and not stale_keys(old, planned.asked):
            report.say(f"{path}: fits the recipe; --update takes newer versions")
            return
        new = planned.resolve()
        if not path.parent.is_dir():
            raise RecipeError(f"there is no folder `{path.parent}`")
        write_lock(path, new)
        before = {one.name: one.version for one in old.packages} if old else {}
        after = {one.name: one.version for one in new.packages}
        for package in sorted(before.keys() | after.keys()) if old else ():
            if before.get(package) != after.get(package):
                report.say(
                    f"  {package}: {before.get(package, 'absent')} -> "
                    f"{after.get(package, 'removed')}"
                )
        report.say(f"{path}: {len(new.packages)} packages")
