"""`oven exec` and `oven enter`: work in a container that runs."""

import click

from builder.cli.containers.commands import exec_one, passing_status
from builder.cli.containers.options.inside import inside
from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose


@click.command(name="exec")
@click.argument("name")
@click.argument("command", metavar="-- CMD ...", nargs=-1, required=True, type=click.UNPROCESSED)
@inside
@click.option("--env-file", metavar="FILE", help="Set the variables that FILE has, one a line.")
@verbose
def exec_(
    name: str,
    command: tuple[str, ...],
    tty: bool,  # noqa: FBT001  # click's way
    user: str,
    workdir: str,
    env: tuple[str, ...],
    env_file: str | None,
) -> int:
    """Run a command in a running container; its input, output and exit status are passed on."""
    given = {"user": user, "workdir": workdir, "env": env, "env_file": env_file, "tty": tty}
    return exec_one(name, command, given)


@click.command()
@click.argument("name")
@click.option("-u", "--user", default="root", metavar="USER", help="Whose shell to open.")
@click.option("--no-login", is_flag=True, help="Open the bare shell, without a session of PAM.")
def enter(name: str, user: str, no_login: bool) -> int:  # noqa: FBT001  # click's way
    """Log in to a running container: a session, its settings and a shell, without a password."""
    from builder.runtime.access.exec import enter as open_shell

    return passing_status(lambda: open_shell(places_of(name), name, user, login=not no_login))
