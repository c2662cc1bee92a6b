"""Single commands in containers, for both ways in: the usual one and the quick one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypedDict

import msgspec

from builder.cli.options import describe
from builder.cli.quick import wants_terminal
from builder.host.places import Places
from builder.model.errors import OvenError
from builder.model.network import DEFAULT

if TYPE_CHECKING:
    from builder.runtime.container import Container

CANNOT_RUN = 125
"""What `run` and `exec` end with when Oven itself fails, as podman does."""


def run_one(template: str, command: tuple[str, ...], given: Mapping[str, object]) -> int:
    """Run a command in a new container that is gone afterwards; give its exit status."""

    def work() -> int:
        from builder.runtime.run import Order, run_command

        places = places_of()
        unpack(places, template)
        container = described(places, template, "", given)
        code = run_command(places, container, Order(argv=command, **_manner(given)))
        if code and container.interfaces:
            from builder.cli.network import tell_notices

            tell_notices(places, container)
        return code

    return passing_status(work)


def exec_one(name: str, command: tuple[str, ...], given: Mapping[str, object]) -> int:
    """Run a command in a running container; give its exit status."""

    def work() -> int:
        from builder.runtime.exec import Call, exec_command

        return exec_command(places_of(name), name, Call(argv=command, **_manner(given)))

    return passing_status(work)


def places_of(name: str = "") -> Places:
    """Find where the user's containers are, able to work on them, above all on that one."""
    places = Places.of_user()
    if places.ordinary:
        from builder.runtime import whose

        whose.enter(places, name)
    return places


def passing_status(work: Callable[[], int]) -> int:
    """Give a command's exit status; when Oven itself fails, tell and give podman's numbers."""
    try:
        return work()
    except OvenError as error:
        from builder.cli.report import show
        from builder.runtime.inside import NoProgramError, NotExecutableError

        show(error)
        numbers: dict[type[OvenError], int] = {NotExecutableError: 126, NoProgramError: 127}
        return numbers.get(type(error), CANNOT_RUN)


def described(places: Places, template: str, name: str, given: Mapping[str, object]) -> "Container":
    """Turn what was typed into a container's record; a name is chosen where none is given."""
    from builder.runtime.container import Interface, new_container
    from builder.runtime.templates import Templates

    found = Templates(places.data).find(template)
    fresh = new_container(name, found.digest, found.name)
    usual = (Interface(network=DEFAULT),)
    return describe(msgspec.structs.replace(fresh, interfaces=usual), given)


def unpack(places: Places, template: str) -> None:
    """Unpack a template that was built and never run."""
    from builder.runtime.templates import Templates

    templates = Templates(places.data)
    if not (found := templates.find(template)).unpacked:
        from builder.stages.template_import import unpack_template
        from builder.store import Store

        unpack_template(found, templates, Store(places.cache))


class _Manner(TypedDict):
    user: str
    cwd: str
    env: tuple[str, ...]
    tty: bool


def _manner(given: Mapping[str, object]) -> _Manner:
    env, file = given.get("env") or (), given.get("env_file")
    assert isinstance(env, tuple)  # as both ways give it
    if env or file:
        from builder.cli.environment import variables

        env = variables(env, str(file) if file else None)
    return {
        "user": str(given.get("user") or "root"),
        "cwd": str(given.get("workdir") or "/"),
        "env": env,
        "tty": wants_terminal(given),
    }
