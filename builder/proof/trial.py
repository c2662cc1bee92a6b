"""Trials: a recipe built twice in processes of their own, each with a store that knows nothing."""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.distros import ArchiveSources
from builder.host.places import PACKAGE
from builder.host.programs import Command
from builder.host.sandbox.variations import give_away, in_memory
from builder.host.trees.durable import disk_errors
from builder.model.errors import OvenError, StageError
from builder.model.recipe import Recipe
from builder.model.toml.text import recipe_text
from builder.model.trial import BuildTrial, Conditions, Failure, MadeStage, TrialOutcome
from builder.proof.variations import VariationPlan
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.lock_files import write_lock
from builder.recipes.request import BuildRequest, layers
from builder.stages.tools import Tools
from builder.store import Store

PROGRAM = "builder.cli.building.trial"


@dataclass(frozen=True, slots=True)
class Both:
    """What two builds made; the stores last as long as the folder that was lent for them."""

    first: tuple[MadeStage, ...]
    second: tuple[MadeStage, ...]
    stores: tuple[Store, Store]
    times: tuple[str, str]
    """When each of them began."""


@contextlib.contextmanager
def both(
    order: BuildRequest, sources: ArchiveSources, plan: VariationPlan, tools: Tools, *, driver: str
) -> Iterator[Both]:
    """Build twice, one after the other; what they made is there until the block ends."""
    with contextlib.ExitStack() as stack:
        if plan.disk is not None:
            stack.enter_context(in_memory(plan.disk, plan.size))
        outcomes: list[tuple[MadeStage, ...]] = []
        times: list[str] = []
        for number, (folder, conditions) in enumerate(
            zip(plan.folders, plan.conditions, strict=True), 1
        ):
            with disk_errors(folder):
                folder.mkdir(parents=True)
                trial = _laid_out(folder, order, sources, tools)
            trial = msgspec.structs.replace(trial, conditions=conditions, driver=driver)
            _wait_for_another_second(times)
            times.append(time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
            outcomes.append(_run(trial, folder, tools, f"build {number} of 2"))
        stores = (Store(plan.folders[0] / "cache"), Store(plan.folders[1] / "cache"))
        yield Both(outcomes[0], outcomes[1], stores, (times[0], times[1]))


def _laid_out(
    folder: Path, order: BuildRequest, sources: ArchiveSources, tools: Tools
) -> BuildTrial:
    """Copy all that a build needs into a folder: recipes, lock, packages, and their keys."""
    recipe = _copy_recipes(order.loaded, folder / "project")
    write_lock(folder / "lock.json", order.lock)
    keyring = folder / "keyring"
    if sources.keys is not None:
        keyring.write_bytes(sources.keys.data)
    store = Store(folder / "cache")
    files = [package.sha256 for package in order.lock.packages]
    files += [order.lock.asked.tarball.sha256] if order.lock.asked.tarball else []
    for sha256 in files:
        source = tools.store.blob(sha256)
        if source is None:
            raise StageError("a package is gone from the store", hint="run the same command again")
        with store.draft() as draft:
            shutil.copyfile(source, draft / "package")
            store.keep_blob(draft / "package", sha256)
    return BuildTrial(
        recipe=str(recipe),
        lock=str(folder / "lock.json"),
        cache=str(folder / "cache"),
        driver="",
        conditions=Conditions(),
        keyring=None if sources.keys is None else str(keyring),
    )


def _copy_recipes(loaded: LoadedRecipe, project: Path) -> Path:
    """Write a recipe with all that it stands on anew; gives its path."""
    target = project
    for layer in layers(loaded):
        if layer.path.name == "appliance.toml":
            target = project / "appliances" / layer.name
            shutil.copytree(layer.folder, target, symlinks=True)
            target /= layer.path.name
        else:
            target = project / "recipes" / f"{layer.name}.toml"
            target.parent.mkdir(parents=True, exist_ok=True)
            if layer.folder.is_dir():
                shutil.copytree(layer.folder, target.parent / layer.name, symlinks=True)
        # As it is built: with what it includes, and with the profiles that are on.
        target.write_text(recipe_text(_named_by(layer)), encoding="utf-8")
    return target


def _named_by(layer: LoadedRecipe) -> Recipe:
    """Have a recipe name what it stands on as that is called here."""
    if layer.base is None:
        return layer.recipe
    return msgspec.structs.replace(layer.recipe, from_=layer.base.name)


def _wait_for_another_second(times: list[str]) -> None:
    """A clock that shows the same second to both builds would hide who writes the time down."""
    if times:
        time.sleep(1.1)


def _run(trial: BuildTrial, folder: Path, tools: Tools, label: str) -> tuple[MadeStage, ...]:
    if trial.conditions.first_id is not None:
        give_away(folder, trial.conditions.first_id)
    env = {
        **trial.conditions.env,
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OVEN_HOME": str(folder / "home"),
    }
    command = Command(
        (sys.executable, "-m", PROGRAM),
        stdin=msgspec.json.encode(trial),
        env=env,
        cwd=folder / "project",
    )
    task = tools.report.begin(label)
    try:
        made = _told(command, tools, label)
    except BaseException:
        task.close("failed")
        raise
    task.close(f"{len(made)} stages")
    return made


def _told(command: Command, tools: Tools, label: str) -> tuple[MadeStage, ...]:
    done = tools.run(command)
    if done.code != 0:
        raise StageError(
            f"{label} ended with status {done.code}", command=str(command), output=done.output
        )
    outcome = msgspec.json.decode(done.stdout, type=TrialOutcome)
    if outcome.failure is not None:
        raise _error(outcome.failure, label)
    return outcome.made


def _error(failure: Failure, label: str) -> OvenError:
    return StageError(
        f"{label} failed: {failure.problem}",
        hint=failure.hint,
        command=failure.command,
        output=failure.output,
    )
