"""First boot: what a recipe has each container do when it first starts, as units in the tree."""

from collections.abc import Collection
from pathlib import Path

from builder.distros import identity
from builder.distros.first_boot import PREFIX, FirstBoot, recipe_unit
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import RecipeError
from builder.model.recipe.content import FirstBootCommand
from builder.model.value import Value
from builder.recipes.project import Project
from builder.stages.tree.asked import AskedError
from builder.stages.tree.scripts import keep_program
from builder.store import Store
from builder.store.damage import checked_blob

FOLDER = "usr/lib/oven/first-boot"
"""Where programs of recipes are in the tree."""
_PATH = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
"""Where systemd looks for a program without a slash (systemd.exec(5))."""


class FirstBootProgram(Value, frozen=True, kw_only=True):
    """A command, and the bytes' sha256 of its program where that is the recipe's own."""

    told: FirstBootCommand
    content: str = ""


def read_first_boot(
    commands: tuple[FirstBootCommand, ...], folder: Path, store: Store, project: Project
) -> tuple[FirstBootProgram, ...]:
    """Look the programs up below the recipe's folder, keeping their bytes in the store."""
    found = []
    for index, told in enumerate(commands):
        content = ""
        if isinstance(told.run, str):
            where = ("first-boot", index, "run")
            content = keep_program(where, told.run, folder, store, project)
        found.append(FirstBootProgram(told=told, content=content))
    return tuple(found)


def lay_first_boot(
    programs: tuple[FirstBootProgram, ...], tree: TreeIO, store: Store, laid: Collection[str]
) -> None:
    """Write their units; `laid` is what overlays bring. Raises AskedError where one cannot run."""
    if not programs:
        return
    _check_init(tree)
    makes = dict.fromkeys(identity.made_by_recipes(tree))
    for index, program in enumerate(programs):
        told = program.told
        row = FirstBoot(
            name=told.name,
            command=_command(program, index, tree, store),
            makes=told.makes,
            timeout=told.timeout,
            after=told.after,
            before=told.before,
        )
        _check_made(told, index, laid)
        try:
            _write(row, tree)
        except OSError as error:
            if error.errno not in TREES_FAULT:
                raise
            raise AskedError(
                f"the unit `{row.unit}` cannot be put into the tree:"
                f" {(error.strerror or '').lower()}",
                ("first-boot", index, "name"),
                hint="something unexpected is in its way",
            ) from error
        makes.update(dict.fromkeys(path.strip("/") for path in told.makes))
    if makes:
        tree.mkdir(str(Path(identity.MADE).parent))
        tree.write_bytes(identity.MADE, "".join(f"{path}\n" for path in makes).encode())


def _check_init(tree: TreeIO) -> None:
    from builder.runtime.record import inits  # few recipes have such commands

    if not tree.exists("sbin/init") or inits.find(tree) != "systemd":
        raise AskedError(
            "`[[first-boot]]` needs systemd, which this tree does not boot with",
            ("first-boot", 0),
            hint="add `systemd-sysv` to `packages.install`; with another init, have a script of the"
            " recipe put in a service of that init's",
        )


def _check_made(told: FirstBootCommand, index: int, laid: Collection[str]) -> None:
    for place, path in enumerate(told.makes):
        if path.strip("/") in laid:
            raise AskedError(
                f"an overlay brings `{path}`, which is to be made at the first boot",
                ("first-boot", index, "makes", place),
                hint="take it out of the one or of the other",
            )


def _command(program: FirstBootProgram, index: int, tree: TreeIO, store: Store) -> tuple[str, ...]:
    run, name = program.told.run, program.told.name
    if isinstance(run, tuple):
        places = [run[0]] if "/" in run[0] else [f"{folder}/{run[0]}" for folder in _PATH]
        if not any(tree.is_file(place) for place in places) or run[0].startswith("."):
            raise AskedError(
                f"there is no program `{run[0]}` in the tree",
                ("first-boot", index, "run"),
                hint="add the package that has it to `packages.install`; a program of the recipe's"
                ' own is no array: `run = "setup"`',
            )
        return run
    blob = checked_blob(store, program.content)
    if blob is None:
        raise RecipeError(
            f"the file `{run}` is no longer in the store", hint="run the same command again"
        )
    tree.mkdir(FOLDER)
    tree.write_bytes(f"{FOLDER}/{name}", blob.read_bytes(), 0o755)
    return (f"/{FOLDER}/{name}",)


def _write(row: FirstBoot, tree: TreeIO) -> None:
    # Below /usr/lib, as Oven's own: no state of the administrator's in /etc is touched.
    wants = f"{identity.UNITS}/{row.wants}"
    tree.mkdir(wants)
    earlier = [one for one in tree.listdir(wants) if one.startswith(PREFIX) and one != row.unit]
    text = recipe_unit(row, tuple(earlier)).text()
    tree.write_bytes(f"{identity.UNITS}/{row.unit}", text.encode())
    tree.symlink(f"{wants}/{row.unit}", f"../{row.unit}")
