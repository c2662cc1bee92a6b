"""`oven run` and `oven create`: new containers from templates."""

import click

from builder.cli.containers.commands import create_one, run_one
from builder.cli.containers.options import (
    answers,
    container_options,
    first_boot,
    secrets,
    with_options,
)
from builder.cli.containers.options.inside import inside
from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose
from builder.model.errors import StageError


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("template")
@click.argument("command", metavar="[-- CMD ...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--name", metavar="NAME", help="The container's name; made from the template's by default."
)
@click.option("--rm", "remove", is_flag=True, help="Remove the container once it has stopped.")
@inside
@container_options
@with_options(first_boot, answers, secrets)
@verbose
def run(
    template: str,
    command: tuple[str, ...],
    name: str | None,
    remove: bool,  # noqa: FBT001  # click's way
    tty: bool,  # noqa: FBT001
    user: str,
    workdir: str,
    env: tuple[str, ...],
    **options: object,
) -> int:
    """Start a new container and wait until it is ready, or run one command in a new one.

    With `-- CMD` the container is CMD and nothing else; its input, output and exit status are
    passed through, and the container is gone afterwards. Without, the template boots; its name and
    address are printed.
    """
    if command:
        first_boot.refuse(options)
        answers.refuse(options)
        manner = {"user": user, "workdir": workdir, "env": env, "tty": tty}
        return run_one(template, command, {**options, **manner})
    places = places_of()
    from builder.cli.containers.lifecycle import start_and_tell
    from builder.runtime.lifecycle import control, keeping
    from builder.runtime.storage import volumes

    there = frozenset(one.name for one in volumes.every(places))
    container = create_one(places, template, name, options, remove=remove)
    try:
        start_and_tell(places, container.name)
    except StageError:
        # It did not come up as it should: one may want to look at what is there.
        if remove:
            control.destroy(places, container.name, force=True)
        raise
    except BaseException:
        # A port that is taken, Ctrl-C: the same command can be given again.
        control.destroy(places, container.name, force=True)
        keeping.drop(places, container, but=there)
        raise
    return 0


@click.command()
@click.argument("name")
@click.argument("template")
@container_options
@with_options(first_boot, answers, secrets)
@verbose
def create(name: str, template: str, **options: object) -> None:
    """Make a container without starting it."""
    create_one(places_of(), template, name, options)
    click.echo(name)
