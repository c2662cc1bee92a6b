"""Copies of instances: the same answers, and secrets of their own unless they are to be shared."""

import msgspec

from builder.appliance.answers import chosen, gather
from builder.appliance.make import Appliance, Who, make
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.model.instance import Instance
from builder.runtime.record import instances
from builder.runtime.record.container import Container
from builder.templates.local import Templates


def pass_on(places: Places, name: str, copy: Container, called: str) -> None:
    """Make a copy of an instance one of its own; nothing for a container that is no instance.

    What was made up for the first is made up anew, but for secrets that a clone keeps.
    """
    before = instances.read(places, name)
    if before is not None:
        instances.save(places, copy.name, _copied(places, before, copy, Who(called, called)))


def _copied(places: Places, before: Instance, copy: Container, who: Who) -> Instance:
    template = Templates(places.data).known(copy.template)
    if template is None:
        raise HostError(f"the template of container `{copy.name}` is gone")
    manifest = template.manifest
    keep = {name for name, one in manifest.interface.secrets.items() if one.clone == "keep"}
    answers = msgspec.structs.replace(before.answers, values=before.answers.given)
    had = Instance(
        answers=answers,
        secrets={name: text for name, text in before.secrets.items() if name in keep},
    )
    found = chosen(gather(manifest.interface, kept=answers.given))
    with TreeIO(template.rootfs) as tree:
        made = make(Appliance(manifest, tree), who, found, had)
    return made.with_gone([*before.gone, *(one.path for one in before.files)])
