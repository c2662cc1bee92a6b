"""`oven test`: an appliance tried by real instances of it."""

import sys
from pathlib import Path

import click

from builder.cli.terminal.verbose import verbose
from builder.host.places import Places


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="APPLIANCE")
@click.argument("arguments", metavar="[PYTEST-ARGS...]", nargs=-1, type=click.UNPROCESSED)
@click.option("-k", "expression", metavar="EXPRESSION", help="Only tests whose names match.")
@click.option("--fast", is_flag=True, help="Leave out tests that are marked slow.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the outcome to a file for machines, as JUnit does.",
)
@click.option("--keep", is_flag=True, help="Leave the containers of failed tests.")
@verbose
def test(
    name: str,
    arguments: tuple[str, ...],
    expression: str | None,
    fast: bool,  # noqa: FBT001  # click's way
    junit: Path | None,
    keep: bool,  # noqa: FBT001
) -> int:
    """Try an appliance: build it, start instances, and run the tests of its folder `tests`.

    Before and after its own tests come those of every appliance. It ends with 0 when all pass, and
    with 1 when one does not.
    """
    from builder.testing.appliance import find
    from builder.testing.run import Wish, need_pytest
    from builder.testing.run import test as run
    from builder.testing.verbs import build

    need_pytest()
    appliance = find(name)
    if (code := build(appliance.folder)) != 0:
        return code
    words = [*(("-k", expression) if expression else ()), *(("-m", "not slow") if fast else ())]
    logs = _emptied(Places.of_user().cache / "tests" / appliance.name)
    wish = Wish(arguments=(*words, *arguments), junit=junit, keep=keep, logs=logs)
    return run(appliance, wish, _say)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _emptied(folder: Path) -> Path:
    """Take away what an earlier run has left there."""
    from builder.host.trees.removal import remove_tree

    if folder.exists():
        remove_tree(folder)
    return folder
