"""Instances made anew: an instance's files follow the template that its container stands on."""

import stat
from collections.abc import Mapping

from builder.appliance.answers import Given, chosen, gather
from builder.appliance.make import Appliance, Who, make
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.instance import Instance, InstanceFile
from builder.runtime.record import instances
from builder.runtime.record.container import Container
from builder.templates.local import Template, Templates

_LARGEST = 16 << 20
"""Bytes of a template's file that is put back."""


def remade(
    template: Template, who: Who, before: Instance | None, given: Mapping[str, Given] | None = None
) -> Instance:
    """Make an instance of another template, or of the same with what is `given`.

    Answers and secrets stay, those too that this template does not ask for: one may go back.
    """
    manifest = template.manifest
    if given is None:
        given = chosen(gather(manifest.interface, kept=before.answers.given if before else {}))
    with TreeIO(template.rootfs) as tree:
        made = make(Appliance(manifest, tree, template.digest), who, given, before)
        if before is None:
            return made
        made = made.after(before)
        back = [file for path in made.gone if (file := _own(tree, path)) is not None]
    return made.with_files(back)


def _own(tree: TreeIO, path: str) -> InstanceFile | None:
    """Give the template's own file of a path where an instance had another: it is to be seen again.

    To remove that one alone would leave none at all.
    """
    if not tree.exists(path):
        return None
    there = tree.lstat(path)
    if not stat.S_ISREG(there.st_mode) or there.st_size > _LARGEST:
        return None
    return InstanceFile(
        path=path,
        content=tree.read_bytes(path, _LARGEST),
        mode=stat.S_IMODE(there.st_mode),
        owner=there.st_uid,
        group=there.st_gid,
        own_mode=True,
    )


def follow(places: Places, container: Container) -> None:
    """Bring an instance to the template that its container stands on by now.

    An upgrade, a rollback and an older snapshot change that. RecipeError where what was answered is
    none of what the template allows.
    """
    before = instances.recovered(places, container.name)
    if before is None or before.template == container.template:
        return
    template = Templates(places.data).known(container.template)
    if template is not None:
        who = Who(container.name, container.hostname)
        instances.save(places, container.name, remade(template, who, before))
