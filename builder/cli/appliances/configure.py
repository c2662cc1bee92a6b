"""`oven configure` and `oven appliance rotate`: other answers, and new secrets, for an instance."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from builder.cli.containers.options import answers, secrets, with_options
from builder.cli.containers.options.answers import stack
from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose

if TYPE_CHECKING:
    from builder.appliance.plan import Plan
    from builder.host.places import Places
    from builder.model.instance import Instance
    from builder.runtime.lifecycle.configure import Wish


@click.command()
@click.argument("name")
@with_options(answers, secrets)
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would change.")
@verbose
def configure(name: str, only_plan: bool, **given: object) -> None:  # noqa: FBT001  # click's way
    """Give an instance other answers, running or not.

    The appliance's own tests judge the new files inside before any unit hears of them. When one
    fails all is as it was.
    """
    places = places_of(name)
    _do(places, name, given, only_plan=only_plan, without=())


@click.command()
@click.argument("name")
@click.argument("which", metavar="[SECRET...]", nargs=-1)
@with_options(secrets)
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would change.")
@verbose
def rotate(name: str, which: tuple[str, ...], only_plan: bool, **given: object) -> None:  # noqa: FBT001
    """Make secrets of an instance anew, all or some, and have its units hear of it."""
    _do(places_of(name), name, given, only_plan=only_plan, without=which or None)


def _do(
    places: "Places",
    name: str,
    given: Mapping[str, object],
    *,
    only_plan: bool,
    without: tuple[str, ...] | None,
) -> None:
    from builder.cli.containers.instance import tell_missing, telling
    from builder.runtime.lifecycle.configure import configure as apply

    with_it: list[Instance] = []
    wish = _wish(places, name, given, without, with_it.append)
    with telling({} if only_plan else given) as tell:
        plan = apply(places, name, wish, dry=only_plan)
        if not (only_plan or plan.empty):
            tell(with_it[-1], wish.interface, plan.secrets)
    for line in _lines(plan):
        click.echo(line)
    if plan.empty:
        click.echo("nothing changes", err=True)
    elif not only_plan:
        tell_missing(with_it[-1], wish.interface)


def _wish(
    places: "Places",
    name: str,
    given: Mapping[str, object],
    without: tuple[str, ...] | None,
    note: "Callable[[Instance], None]",
) -> "Wish":
    """Say what an instance shall be; `without` are secrets that it shall not keep, None for all."""
    import msgspec

    from builder.appliance.answers import chosen
    from builder.appliance.make import Who
    from builder.model.errors import NotFoundError
    from builder.runtime.bundle.remake import remade
    from builder.runtime.lifecycle.configure import Wish
    from builder.runtime.record.container import load
    from builder.templates.local import Templates

    record = load(places, name)
    template = Templates(places.data).known(record.template)
    if template is None:
        raise NotFoundError(f"the template of container `{name}` is gone")
    interface = template.manifest.interface
    unknown = set(without or ()) - set(interface.secrets)
    if unknown:
        names = ", ".join(f"`{one}`" for one in interface.secrets) or "none"
        raise NotFoundError(
            f"there is no secret `{min(unknown)}`", hint=f"its secrets are: {names}"
        )

    def made(before: "Instance") -> "Instance":
        kept = {
            key: text
            for key, text in before.secrets.items()
            if without is not None and key not in without
        }
        had = msgspec.structs.replace(before, secrets=kept)
        found = chosen(stack(interface, given, before.answers.given))
        who = Who(name, record.hostname or name)
        after = remade(template, who, had, found)
        note(after)
        return after

    return Wish(interface, made)


def _lines(plan: "Plan") -> list[str]:
    lines = []
    for file in plan.files:
        lines += [f"{file.kind} /{file.path}", *file.difference.splitlines()]
    lines += [f"{action} {unit}" for unit, action in plan.units.items()]
    return lines
