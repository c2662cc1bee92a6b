"""`oven build`: recipes in, templates out."""

import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.building.choosing import only, profile, wanted_of
from builder.cli.containers.options import answers, with_options
from builder.cli.terminal.verbose import verbose

if TYPE_CHECKING:
    from builder.build import Built
    from builder.cli.building.choosing import WantedTemplate
    from builder.cli.building.workplace import Planned, Workplace
    from builder.model.recipe import Arch
    from builder.recipes.request import BuildRequest
    from builder.stages.fetch import SupersededError
    from builder.stages.tools import Tools


@dataclass(frozen=True, slots=True)
class Options:
    """How to build; nothing of it changes the bytes of a template."""

    locked: bool
    probe: bool
    driver: str
    output: Path | None

    def arguments(self) -> tuple[str, ...]:
        """Give the options as they are written."""
        return (
            *(("--locked",) if self.locked else ()),
            *(() if self.probe else ("--no-probe",)),
            *(("-o", str(self.output)) if self.output else ()),
            "--bootstrap",
            self.driver,
        )


@click.command()
@click.argument("names", metavar="RECIPE|APPLIANCE...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Copy the tarballs there too, as NAME_ARCH.tar.zst.",
)
@click.option(
    "--arch",
    metavar="ARCH",
    help="Build for this architecture instead of the host's; `all`: each of the recipe.",
)
@profile
@only
@click.option("--locked", is_flag=True, help="Refuse a lock that is missing or stale, and say why.")
@click.option("--explain", is_flag=True, help="Say why each stage ran or was kept.")
@click.option("--no-probe", is_flag=True, help="Do not boot the template to see that it works.")
@click.option(
    "--bootstrap",
    type=click.Choice(["native", "debootstrap"]),
    default="native",
    help="What makes the base tree.",
)
@click.option(
    "--secret",
    "secrets",
    metavar="NAME=FILE|NAME=env:VARIABLE",
    multiple=True,
    help="Show a secret to the recipe's scripts, and to nobody else.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use at most so many cores; all by default.",
)
@with_options(answers)
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON.")
@verbose
def build(  # one for each option
    names: tuple[str, ...],
    output: Path | None,
    arch: str | None,
    profiles: tuple[str, ...],
    only: tuple[str, ...],
    locked: bool,  # noqa: FBT001
    explain: bool,  # noqa: FBT001
    no_probe: bool,  # noqa: FBT001
    bootstrap: str,
    secrets: tuple[str, ...],
    jobs: int | None,
    as_json: bool,  # noqa: FBT001
    **answered: object,
) -> None:
    """Build templates from recipes and appliances, by name or by path.

    Each becomes a local template that `oven run NAME` starts, and with -o a NAME_ARCH.tar.zst.
    Several, and those of a matrix, are built at once; one that fails does not stop the others.
    """
    from builder.cli.building.workplace import open_workplace

    wanted = _answered(wanted_of(names, profiles, only, arch), answered)
    options = Options(locked, not no_probe, bootstrap, output)
    given = dict(_secret(text) for text in secrets)
    _check_secrets(wanted, given)
    if len(wanted) > 1:
        results = _build_all(wanted, options, (*_secrets(secrets), *_explain(explain)), jobs)
    else:
        with open_workplace(explain=explain, secrets=given, jobs=jobs) as work:
            results = [_build(wanted[0], options, work)]
            _trim(work)
    if as_json:
        click.echo(json.dumps(results, indent=2))


def _answered(wanted: "list[WantedTemplate]", given: dict[str, object]) -> "list[WantedTemplate]":
    """Have an appliance's template built with answers of its own, where there are any."""
    if not any(given.values()):
        return wanted
    from builder.appliance.answers import chosen
    from builder.appliance.settled import settle
    from builder.model.errors import RecipeError
    from builder.recipes.interface import answered, interface_of

    if len(wanted) > 1:
        raise RecipeError("answers are for one template", hint="build them one after the other")
    [one] = wanted
    interface = interface_of(one.loaded)
    settled = settle(interface, chosen(answers.stack(interface, given)))
    return [replace(one, loaded=answered(one.loaded, settled))]


def _build_all(
    wanted: "list[WantedTemplate]", options: Options, more: tuple[str, ...], jobs: int | None
) -> list[dict[str, object]]:
    """Build several at once; ends with the status of the first that failed."""
    from builder.cli.building.many import BuildJob, build_all, summary

    same = (*options.arguments(), *more)
    ended = build_all(
        [BuildJob(one.label, (*one.arguments(), *same)) for one in wanted],
        cores=jobs or os.cpu_count() or 1,
    )
    for line in summary(ended):
        click.echo(line, err=True)
    results = [row for one in ended for row in one.built]
    if failed := next((one.code for one in ended if one.code), 0):
        if results:
            click.echo(json.dumps(results, indent=2))
        raise SystemExit(failed)
    return results


def _secrets(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for text in texts for word in ("--secret", text))


def _explain(explain: bool) -> tuple[str, ...]:  # noqa: FBT001  # as the option is given
    return ("--explain",) if explain else ()


def _secret(text: str) -> tuple[str, bytes]:
    """Read what `--secret NAME=FILE` or `NAME=env:VARIABLE` means."""
    from builder.stages.tree.secrets import SHORTEST

    name, equals, place = text.partition("=")
    if not (name and equals and place):
        # What was meant may be in it, so it is not shown.
        raise click.UsageError("--secret wants NAME=FILE or NAME=env:VARIABLE")
    variable = place.removeprefix("env:")
    if variable != place:
        if variable not in os.environ:
            raise click.UsageError(f"--secret {name}: there is no variable `{variable}`")
        value = os.environb[os.fsencode(variable)]
    else:
        try:
            value = Path(place).read_bytes()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise click.UsageError(f"--secret {name}: `{place}`: {why}") from error
    if len(value.strip()) < SHORTEST:
        raise click.UsageError(
            f"--secret {name}: shorter than {SHORTEST} bytes, so it could not be told from chance"
        )
    return name, value


def _check_secrets(wanted: "list[WantedTemplate]", given: dict[str, bytes]) -> None:
    """Refuse a secret that nobody asks for: its name may be a slip."""
    if not given:
        return
    from builder.recipes.request import layers

    recipes = [layer.recipe for one in wanted for layer in layers(one.loaded)]
    known = {secret.name for recipe in recipes for secret in recipe.secret}
    for name in given.keys() - known:
        raise click.UsageError(f"--secret: no recipe here has a secret `{name}`")


def _build(wanted: "WantedTemplate", options: Options, work: "Workplace") -> dict[str, object]:
    """Build one, and again without what turns out to be damaged in the cache."""
    from builder.cli.building.log import logged
    from builder.recipes.request import choose_arch
    from builder.store.verify import RemovedError

    with logged(work, wanted.loaded.name, choose_arch(wanted.loaded, wanted.arch)) as logging:
        for _ in range(MOST_DAMAGED):
            try:
                return _build_once(wanted, options, logging)
            except RemovedError as error:
                logging.tools.report.say(f"{error.problem}; it is removed, and made again")
        return _build_once(wanted, options, logging)


MOST_DAMAGED = 20
"""How many damaged objects are made again before the disk is given up."""


def _build_once(wanted: "WantedTemplate", options: Options, work: "Workplace") -> dict[str, object]:
    """Give what a script would want to know of what was built."""
    from builder.cli.building.workplace import plan_of
    from builder.stages.accept import accept
    from builder.stages.fetch import SupersededError
    from builder.templates.exchange import output_folder

    started, tools = time.monotonic(), work.tools
    planned = plan_of(wanted.loaded, wanted.arch, work)
    _check_machine(planned.asked.arch)
    if options.output:
        output_folder(options.output)  # now: after minutes of building is too late
    order = _order(planned, options)
    try:
        built = _make(order, planned, options)
    except SupersededError as error:
        planned = _moved_on(error, order, planned, options)
        order = _order(planned, options)
        built = _make(order, planned, options)
    recipe = order.loaded if options.probe else None
    accept(built.packed, work.places, tools, slot=order.slot, probed=recipe)
    path = _copy_out(built, options.output, tools) if options.output else None
    packed = built.packed
    seconds = time.monotonic() - started
    tools.report.say(
        f"built {order.name} for {order.arch}: {packed.size / 1e6:.1f} MB,"
        f" sha256:{packed.sha256[:12]}, {seconds:.1f} s" + (f"\n  {path}" if path else "")
    )
    return {
        "name": order.name,
        "arch": order.arch,
        "sha256": packed.sha256,
        "size": packed.size,
        "packages": len(order.lock.packages),
        "path": str(path or tools.store.blob(packed.sha256)),
    }


def _moved_on(
    error: "SupersededError", order: "BuildRequest", planned: "Planned", options: Options
) -> "Planned":
    """Drop a lock whose packages are gone; raise the error again if somebody wants to keep it.

    The mirror that was asked first comes last from now on: if it still has that index, it is stale.
    """
    from builder.recipes.lock_files import forget

    if options.locked or not forget(order.lock, planned.files):
        raise error
    planned.tools.report.say(error.problem)
    return planned.next_mirror(error.package.archive)


def _check_machine(arch: "Arch") -> None:
    """Refuse an architecture whose programs cannot run here: now, not after all is downloaded."""
    from builder.host.sandbox.binfmt import host_arch

    if arch is not host_arch():
        from builder.host.sandbox.binfmt import require_programs_of

        require_programs_of(arch)


def _trim(work: "Workplace") -> None:
    """Hold the cache to the size that the settings allow, if something came into it."""
    limit, store = work.settings.cache.size, work.tools.store
    if limit is None or not store.grown:
        return
    from builder.model import amounts
    from builder.store.sweep import PrunePolicy, prune

    gone = prune(store, PrunePolicy(size=amounts.size().read(limit)))
    if gone:
        freed = sum(one.size for one in gone) / 1e6
        work.tools.report.say(f"cache: removed {len(gone)} objects, {freed:.1f} MB")


def _order(planned: "Planned", options: Options) -> "BuildRequest":
    """Add the lock to what was asked for."""
    from builder.recipes.lock_files import committed_lock, lock_for
    from builder.recipes.request import BuildRequest

    asked, files = planned.asked, planned.files
    if options.locked:
        lock = committed_lock(asked, files)
    else:
        lock = lock_for(asked, files, planned.resolve, planned.tools.report, now=time.time())
    return BuildRequest(loaded=planned.loaded, arch=asked.arch, lock=lock)


def _make(order: "BuildRequest", planned: "Planned", options: Options) -> "Built":
    from builder.build import build as build_template

    return build_template(order, planned.sources, planned.tools, driver=options.driver)


def _copy_out(built: "Built", folder: Path, tools: "Tools") -> Path:
    """Copy the tarball to where the user wants it, whole or not at all."""
    from builder.store.damage import checked_blob

    blob = checked_blob(tools.store, built.packed.sha256)
    assert blob is not None  # it was packed just now, or found there
    target = folder / f"{built.manifest.name}_{built.manifest.arch}.tar.zst"
    from builder.host.trees.durable import disk_errors, draft_of

    with disk_errors(folder), draft_of(target) as draft:
        shutil.copyfile(blob, draft)
        draft.rename(target)
    return target
