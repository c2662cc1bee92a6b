"""What whoever starts an instance is told once: secrets that are to be shown, and what it lacks."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from builder.host.places import Places
from builder.model.errors import RecipeError
from builder.model.instance import Instance
from builder.model.interface import Interface
from builder.runtime.record.container import Container

Tell = Callable[[Instance, Interface, Sequence[str] | None], None]
"""Shows an instance's secrets; the names are those that are new, None where all of it is new."""


@contextlib.contextmanager
def telling(given: Mapping[str, object]) -> Iterator[Tell]:
    """Lend what shows secrets once: on stderr, or in the file that was asked for.

    The file is made before anything else is, so that no secret is made that nobody can be shown;
    when the block fails it is gone.
    """
    file = given.get("secrets_file")
    if not file:
        yield lambda instance, interface, new: _show(_shown(instance, interface, new))
        return
    path = Path(str(file))
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RecipeError(
            f"secrets cannot be written to `{path}`: {(error.strerror or str(error)).lower()}",
            hint="it must be a new file",
        ) from error
    with open(fd, "w", encoding="utf-8") as opened:  # noqa: PTH123  # opened by descriptor
        try:
            yield lambda instance, interface, new: _keep(opened, _shown(instance, interface, new))
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def tell_missing(instance: Instance, interface: Interface) -> None:
    """Say what an instance waits for."""
    for name in instance.answers.missing:
        title = interface.parameters[name].title
        sys.stderr.write(f"it serves nobody before `{name}` is answered{title and f': {title}'}\n")


def tell_renewed(places: Places, copy: Container) -> None:
    """Show once what a clone has for its own."""
    from builder.runtime.record import instances
    from builder.templates.local import Templates

    instance = instances.read(places, copy.name)
    template = Templates(places.data).known(copy.template)
    if instance is None or template is None:
        return
    interface = template.manifest.interface
    secrets = {name: one for name, one in interface.secrets.items() if one.clone == "renew"}
    with telling({}) as tell:
        tell(instance, msgspec.structs.replace(interface, secrets=secrets), None)


def _shown(instance: Instance, interface: Interface, new: Sequence[str] | None) -> dict[str, str]:
    shown = {
        name: instance.secrets[name]
        for name, one in interface.secrets.items()
        if one.show and (new is None or name in new)
    }
    for name, parameter in interface.parameters.items():
        if new is None and parameter.generate and name not in instance.answers.given:
            shown[name] = str(instance.answers.values[name])
    return shown


def _show(shown: Mapping[str, str]) -> None:
    if shown:
        sys.stderr.write("shown only now:\n")
        sys.stderr.writelines(f"  {name}: {text.strip()}\n" for name, text in shown.items())


def _keep(file: TextIO, shown: Mapping[str, str]) -> None:
    from builder.model.toml.text import inline

    file.writelines(f"{name} = {inline(value)}\n" for name, value in shown.items())
