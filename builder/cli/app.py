"""The `oven` command: its verbs, each imported only when it is called."""

import importlib
from collections.abc import Sequence

import click

from builder import __version__
from builder.cli.terminal.outcome import told
from builder.cli.terminal.verbose import verbose

VERBS: dict[str, tuple[str, str]] = {
    "build": ("builder.cli.building.build", "Build templates from recipes and appliances."),
    "appliance": (
        "builder.cli.appliances.appliance",
        "Show what appliances may be asked, and answer it.",
    ),
    "lock": ("builder.cli.building.lock", "Write down exactly which packages a recipe means."),
    "recipe": (
        "builder.cli.building.recipe",
        "Show recipes as they are built, and where values are from.",
    ),
    "outdated": ("builder.cli.building.outdated", "Say which recipes would change today, and how."),
    "prove": (
        "builder.cli.building.prove",
        "Build twice under other conditions, and compare all bytes.",
    ),
    "run": ("builder.cli.containers.run", "Start a container, or run one command in a new one."),
    "create": ("builder.cli.containers.run", "Make a container without starting it."),
    "configure": (
        "builder.cli.appliances.configure",
        "Give an instance of an appliance other answers.",
    ),
    "start": (
        "builder.cli.containers.lifecycle:start",
        "Start containers and wait until they are ready.",
    ),
    "stop": ("builder.cli.containers.lifecycle:stop", "Stop containers."),
    "restart": (
        "builder.cli.containers.lifecycle:restart",
        "Stop containers and start them again.",
    ),
    "freeze": ("builder.cli.containers.lifecycle:freeze", "Halt all processes of containers."),
    "thaw": ("builder.cli.containers.lifecycle:thaw", "Let frozen containers go on."),
    "destroy": (
        "builder.cli.containers.lifecycle:destroy",
        "Remove containers and all that is in them.",
    ),
    "exec": ("builder.cli.access.exec:exec_", "Run a command in a running container."),
    "enter": ("builder.cli.access.exec:enter", "Open a shell in a running container."),
    "console": ("builder.cli.access.console", "Join the console of a running container."),
    "cp": (
        "builder.cli.access.cp",
        "Copy files into containers, out of them, and between them.",
    ),
    "list": ("builder.cli.inspect.show:list_", "List the containers."),
    "show": ("builder.cli.inspect.show:show", "Show one container."),
    "health": (
        "builder.cli.appliances.health",
        "Ask whether a container does what its appliance is for.",
    ),
    "backup": (
        "builder.cli.appliances.backup",
        "Back up instances of appliances elsewhere, and make them again.",
    ),
    "test": (
        "builder.cli.appliances.test",
        "Try an appliance by real instances: its own tests, and those of every appliance.",
    ),
    "set": (
        "builder.cli.containers.set:set_",
        "Change what a container may use, and what it is to do.",
    ),
    "top": ("builder.cli.inspect.top:top", "Show what containers use, again and again."),
    "logs": (
        "builder.cli.inspect.logs",
        "Show what a container wrote to its console and journal.",
    ),
    "events": (
        "builder.cli.inspect.events",
        "Show what happened to containers, and what happens.",
    ),
    "network": ("builder.cli.containers.network", "Create, list, show and remove networks."),
    "volume": ("builder.cli.containers.volume", "Keep data that outlives containers."),
    "snapshot": ("builder.cli.containers.snapshot", "Keep what a container is, and go back to it."),
    "clone": ("builder.cli.containers.clone:clone", "Make a new container of one that is there."),
    "rename": ("builder.cli.containers.clone:rename", "Call a stopped container something else."),
    "diff": (
        "builder.cli.inspect.diff",
        "Show what an administrator changed against the template.",
    ),
    "upgrade": ("builder.cli.containers.upgrade:upgrade", "Put a new template under a container."),
    "rollback": (
        "builder.cli.containers.upgrade:rollback",
        "Go back to what was before an upgrade.",
    ),
    "export": ("builder.cli.containers.transfer:export", "Write a whole container to one file."),
    "import": ("builder.cli.containers.transfer:import_", "Take in a container that was exported."),
    "template": (
        "builder.cli.building.template",
        "List, show, import, export and remove templates.",
    ),
    "cache": ("builder.cli.building.cache", "Show and prune what builds have remembered."),
    "doctor": ("builder.cli.doctor", "Check what this machine lacks, and say how to mend it."),
}
"""Verb to the module that has it (`:name` where the command is called otherwise) and its help."""


class Verbs(click.Group):
    """Lists all verbs without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Give the verbs in the order of a person's day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the one verb that was asked for."""
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute or cmd_name)
        assert isinstance(command, click.Command)  # holds for every row of the table
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of verbs from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Offer the nearest verb to a mistyped one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            nearest = get_close_matches(args[0], VERBS, n=1)
            if not nearest:
                raise
            text = f"{error.message} Did you mean `{nearest[0]}`?"
            raise click.UsageError(text, ctx) from error


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, message="oven %(version)s")
@verbose
def oven() -> None:
    """Build OS templates and appliances from recipes, and run them as containers."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every error that Oven can explain becomes text and an exit code."""
    return told(lambda: _parse_and_do(arguments))


def _parse_and_do(arguments: Sequence[str]) -> object:
    try:
        return oven.main(args=list(arguments), prog_name="oven", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
