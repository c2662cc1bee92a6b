"""Copies of instances: the same answers, and secrets of their own unless they are to be shared."""

import msgspec

from builder.appliance.make import Who
from builder.host.places import Places
from builder.model.errors import HostError
from builder.model.instance import Instance
from builder.runtime.bundle.remake import remade
from builder.runtime.record import instances
from builder.runtime.record.container import Container
from builder.templates.local import Templates


def pass_on(places: Places, name: str, copy: Container, called: str) -> None:
    """Make a copy of an instance one of its own; nothing for a container that is no instance.

    What was made up for the first is made up anew, but for secrets that a clone keeps.
    """
    before = instances.read(places, name)
    if before is not None:
        instances.save(places, copy.name, another(places, before, copy, called))


def another(places: Places, before: Instance, copy: Container, called: str) -> Instance:
    """Give what a copy of an instance is told, by the name that it will have."""
    template = Templates(places.data).known(copy.template)
    if template is None:
        raise HostError(f"the template of container `{copy.name}` is gone")
    interface = template.manifest.interface
    keep = {key for key, one in interface.secrets.items() if one.clone == "keep"}
    had = Instance(
        answers=msgspec.structs.replace(before.answers, values=before.answers.given),
        secrets={key: text for key, text in before.secrets.items() if key in keep},
        files=before.files,
        gone=before.gone,
    )
    return remade(template, Who(called, called), had)
