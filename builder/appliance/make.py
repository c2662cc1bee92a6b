"""Making instances: what somebody answered, what is made up for the rest, and the files of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.appliance import instance, secrets
from builder.appliance.answers import Given, Origin
from builder.appliance.rendering import render
from builder.appliance.settled import seen, settle
from builder.appliance.variables import InstanceVariables
from builder.model.errors import RecipeError
from builder.model.instance import Answers, Instance, InstanceFile
from builder.model.interface import Interface, Json
from builder.model.manifest import Manifest

if TYPE_CHECKING:
    from builder.host.trees.treeio import TreeIO


@dataclass(frozen=True)
class Appliance:
    """What an instance is of."""

    manifest: Manifest
    tree: "TreeIO"
    """The template's."""
    digest: str
    """By which the template is known."""

    @property
    def interface(self) -> Interface:
        """What it may be asked."""
        return self.manifest.interface


@dataclass(frozen=True)
class Who:
    """Which instance it is."""

    name: str
    hostname: str


def make(
    appliance: Appliance, who: Who, chosen: Mapping[str, Given], before: Instance | None = None
) -> Instance:
    """Make an instance, or what it is with other answers; secrets that it has stay.

    RecipeError for an answer that is wrong, or that cannot change any more.
    """
    interface = appliance.interface
    if before is not None:
        chosen = _with_lasting(interface, chosen, before)
    answers = settle(interface, {**chosen, **_generated(interface, chosen, before)})
    plain = _variables(appliance, who, answers, {})
    kept = before.secrets if before else {}
    made = secrets.made(interface, kept, _names(interface, plain))
    rendered: tuple[InstanceFile, ...] = ()
    if not answers.missing:
        sources = instance.read(appliance.tree)
        rendered = instance.files(sources, _variables(appliance, who, answers, made), interface)
    return Instance(answers=answers, secrets=made, files=rendered, template=appliance.digest)


def _generated(
    interface: Interface, chosen: Mapping[str, Given], before: Instance | None
) -> dict[str, Given]:
    had: Mapping[str, Json] = before.answers.values if before else {}
    return {
        name: Given(had.get(name, secrets.generated(one.generate)), Origin.GENERATED)
        for name, one in interface.parameters.items()
        if one.generate and name not in chosen
    }


def _with_lasting(
    interface: Interface, chosen: Mapping[str, Given], before: Instance
) -> dict[str, Given]:
    """Keep what cannot change, also where a newer template has another default for it."""
    made = dict(chosen)
    for name, parameter in interface.parameters.items():
        given, had = chosen.get(name), before.answers.values.get(name)
        if not parameter.immutable or given is None or had is None or given.value == had:
            continue
        if given.origin is not Origin.DEFAULT:
            raise RecipeError(
                f"`{name}` cannot be changed: {parameter.immutable}",
                at=None if parameter.secret else given.place(),
                hint="another instance can have another answer",
            )
        made[name] = Given(had, Origin.KEPT)
    return made


def _variables(
    appliance: Appliance, who: Who, answers: Answers, made: dict[str, str]
) -> InstanceVariables:
    manifest = appliance.manifest
    return InstanceVariables(
        parameters=seen(manifest.interface, answers.values),
        template={"name": manifest.name, "summary": manifest.summary},
        base={"distro": manifest.distro, "suite": manifest.suite, "arch": manifest.arch},
        secrets=made,
        instance=msgspec.to_builtins(who),
    )


def _names(interface: Interface, variables: InstanceVariables) -> dict[str, list[str]]:
    """Give the names in certificates, each rendered as a template is."""
    said = {name: one.names for name, one in interface.secrets.items() if one.names}
    sources = {Path(f"secrets.{name}.names"): name for name in said}
    rendered = render(
        {source: "\n".join(said[name]).encode() for source, name in sources.items()}, variables
    )
    return {
        name: [line.strip() for line in rendered[source].decode().splitlines() if line.strip()]
        for source, name in sources.items()
    }
