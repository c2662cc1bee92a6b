"""What scripts call in loops, for both ways in: the usual one and the quick one."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from builder.cli import session
from builder.host.places import Places
from builder.model.errors import OvenError
from builder.runtime.record.container import all_names

if TYPE_CHECKING:
    from builder.model.volume import VolumeSpec
    from builder.runtime.record.container import Container

CANNOT_RUN = 125
"""What `run` and `exec` end with when Oven itself fails, as podman does."""


def run_one(template: str, command: tuple[str, ...], given: Mapping[str, object]) -> int:
    """Run a command in a new container that is gone afterwards; give its exit status."""

    def work() -> int:
        from builder.runtime.bundle.process import CommandOrder
        from builder.runtime.lifecycle.run import run_command

        places = session.places_of()
        unpack(places, template)
        container = described(places, template, "", given)
        code = run_command(places, container, CommandOrder(argv=command, **_manner(given)))
        if code and container.interfaces:
            from builder.cli.containers.network import tell_notices

            tell_notices(places, container)
        return code

    return passing_status(work)


def exec_one(name: str, command: tuple[str, ...], given: Mapping[str, object]) -> int:
    """Run a command in a running container; give its exit status."""

    def work() -> int:
        from builder.runtime.access.exec import exec_command
        from builder.runtime.bundle.process import CommandOrder

        return exec_command(
            session.places_of(name), name, CommandOrder(argv=command, **_manner(given))
        )

    return passing_status(work)


def create_quickly(name: str, template: str, given: Mapping[str, object]) -> None:
    """Make a container and print its name."""
    create_one(session.places_of(name), template, name, given)
    sys.stdout.write(f"{name}\n")


def create_one(
    places: Places,
    template: str,
    name: str | None,
    options: Mapping[str, object],
    *,
    remove: bool = False,
) -> "Container":
    """Keep a new container; its template cannot be removed meanwhile."""
    import msgspec

    from builder.runtime.lifecycle.create import create
    from builder.templates.local import Templates

    extras: Mapping[str, bytes] = {}
    from builder.cli.containers.options.first_boot import data_of

    if (data := data_of(options)) is not None:
        from builder.runtime.bundle import first_boot

        extras = first_boot.extras(data)
        options = {**options, "hostname": data.hostname}
    unpack(places, template)
    with Templates(places.data).lock():
        container = _describe(places, template, name, options)
        container = msgspec.structs.replace(container, remove=remove)
        with _instance(places, template, container, options) as instance:
            made = create(places, container, {**extras, **instance}, _kept(places, template))
    if made.autostart is not None:
        from builder.cli.containers.autostart import settle_autostart

        settle_autostart(places)
    return made


@contextlib.contextmanager
def _instance(
    places: Places, template: str, container: "Container", options: Mapping[str, object]
) -> Iterator[Mapping[str, bytes]]:
    """Lend the file of an appliance's instance, nothing for a template that asks for nothing.

    Once the container is there, what is shown once is shown.
    """
    from builder.templates.local import Templates

    found = Templates(places.data).find(template)
    if not found.asks and not (options.get("answers") or options.get("assignments")):
        yield {}
        return
    from builder.appliance.make import Who
    from builder.cli.containers.instance import tell_missing, telling
    from builder.cli.containers.options.answers import instance_of
    from builder.runtime.record import instances

    who = Who(container.name, container.hostname or container.name)
    instance, interface = instance_of(found, options, who)
    with telling(options) as tell:
        yield instances.extras(instance)
        tell(instance, interface, None)
    tell_missing(instance, interface)


def _kept(places: Places, template: str) -> "Sequence[VolumeSpec]":
    """Give the volumes that an instance of a template has of its own."""
    from builder.templates.local import Templates

    found = Templates(places.data).find(template)
    return found.manifest.interface.volumes if found.keeps else ()


def passing_status(work: Callable[[], int]) -> int:
    """Give a command's exit status; when Oven itself fails, tell and give podman's numbers."""
    try:
        return work()
    except OvenError as error:
        from builder.cli.terminal.report import show
        from builder.runtime.bundle.runnable import CannotStartError

        show(error)
        return error.exit_code if isinstance(error, CannotStartError) else CANNOT_RUN


def described(places: Places, template: str, name: str, given: Mapping[str, object]) -> "Container":
    """Turn what was typed into a container's record; a name is chosen where none is given."""
    import msgspec

    from builder.cli.containers.options import describe  # `exec` does without
    from builder.model.network import DEFAULT
    from builder.runtime.record.container import Interface, new_container
    from builder.templates.local import Templates

    found = Templates(places.data).find(template)
    fresh = new_container(name, found.digest, found.name)
    usual = (Interface(network=DEFAULT),)
    fresh = msgspec.structs.replace(fresh, interfaces=usual)
    if not found.features:
        return describe(fresh, given)
    asked = given.get("feature") or ()
    assert isinstance(asked, tuple)  # as both ways give it
    if "asked" in asked:
        fresh = msgspec.structs.replace(fresh, features=found.features)
    made = describe(fresh, given)
    if (missing := set(found.features) - set(made.features)) and not asked:
        sys.stderr.write(
            f"note: the template `{found.name}` asks for {', '.join(sorted(missing))}:"
            " `--feature asked` gives that to a container, `--feature none` says no\n"
        )
    return made


def unpack(places: Places, template: str) -> None:
    """Unpack a template that was built and never run."""
    from builder.templates.local import Templates

    templates = Templates(places.data)
    if not (found := templates.find(template)).unpacked:
        from builder.store import Store
        from builder.templates.exchange import unpack_template

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
        from builder.cli.terminal.environment import variables

        env = variables(env, str(file) if file else None)
    return {
        "user": str(given.get("user") or "root"),
        "cwd": str(given.get("workdir") or "/"),
        "env": env,
        "tty": wants_terminal(given),
    }


def _describe(
    places: Places, template: str, name: str | None, options: Mapping[str, object]
) -> "Container":
    """Turn what was typed into a container's record."""
    import msgspec

    from builder.host.trees.treeio import TreeIO
    from builder.runtime.record import inits
    from builder.runtime.record.container import rootfs_of

    wanted = described(places, template, name or "", options)
    if name is None:
        name = _free_name(places, wanted.template_name)
        wanted = described(places, template, name, options)
    with TreeIO(rootfs_of(places, wanted)) as tree:
        return msgspec.structs.replace(wanted, init=inits.find(tree))


def _free_name(places: Places, wanted: str) -> str:
    """Make a container's name from the template's: `web`, then `web-2` and so on."""

    taken = set(all_names(places))
    plain = wanted.replace(".", "-")
    if plain not in taken:
        return plain
    return next(name for number in range(2, 1 << 20) if (name := f"{plain}-{number}") not in taken)


def wants_terminal(given: Mapping[str, object]) -> bool:
    """Tell whether a command gets a terminal: where it was asked for, or we are on one."""
    return bool(given.get("tty")) or (os.isatty(0) and os.isatty(1))
