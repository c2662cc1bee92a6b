"""What whoever starts an instance is told once: secrets that are to be shown, and what it lacks."""

import os
import sys
from collections.abc import Mapping, Sequence

import msgspec

from builder.host.places import Places
from builder.model.errors import RecipeError
from builder.model.instance import Instance
from builder.model.interface import Interface
from builder.runtime.record.container import Container


def tell_once(
    instance: Instance,
    interface: Interface,
    given: Mapping[str, object],
    only: Sequence[str] | None = None,
) -> None:
    """Show what is shown once, on stderr or in the file that was asked for.

    `only` are the secrets that are new; all of a new instance are.
    """
    shown = {
        name: instance.secrets[name]
        for name, one in interface.secrets.items()
        if one.show and (only is None or name in only)
    }
    for name, parameter in interface.parameters.items():
        if only is None and parameter.generate and name not in instance.answers.given:
            shown[name] = str(instance.answers.values[name])
    file = given.get("secrets_file")
    if file:
        _write(str(file), shown)
    elif shown:
        sys.stderr.write("shown only now:\n")
        sys.stderr.writelines(f"  {name}: {text.strip()}\n" for name, text in shown.items())
    for name in instance.answers.missing:
        title = interface.parameters[name].title
        sys.stderr.write(f"it serves nobody before `{name}` is answered{title and f': {title}'}\n")


def tell_renewed(places: Places, copy: Container) -> None:
    """Show once what a clone has for its own."""
    from builder.runtime.record import instances
    from builder.templates.local import Templates

    instance, template = (
        instances.read(places, copy.name),
        Templates(places.data).known(copy.template),
    )
    if instance is None or template is None:
        return
    interface = template.manifest.interface
    secrets = {name: one for name, one in interface.secrets.items() if one.clone == "renew"}
    tell_once(instance, msgspec.structs.replace(interface, secrets=secrets), {})


def _write(file: str, shown: Mapping[str, str]) -> None:
    from builder.model.toml.text import inline

    text = "".join(f"{name} = {inline(value)}\n" for name, value in shown.items())
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RecipeError(
            f"secrets cannot be written to `{file}`: {(error.strerror or str(error)).lower()}",
            hint="it must be a new file",
        ) from error
    with open(fd, "w", encoding="utf-8") as opened:  # noqa: PTH123  # opened by descriptor
        opened.write(text)
