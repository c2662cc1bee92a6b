"""Declared probes: those of a container's template, and whether there are any at all."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from builder.host.places import Places
from builder.model.value import hex_of
from builder.runtime.record.container import Container

if TYPE_CHECKING:
    from builder.model.health import HealthProbe
    from builder.model.interface import Json
    from builder.model.manifest import Manifest

# The template tells, and not the tree, which root inside can change.


class _Some(msgspec.Struct, frozen=True):
    health: tuple[msgspec.Raw, ...] = ()


class _Glance(msgspec.Struct, frozen=True):
    """The one thing of a manifest that each start wants to know."""

    interface: _Some = _Some()


def has_any(places: Places, container: Container) -> bool:
    """Tell whether there is anything to ask; most have nothing, and load nothing for this."""
    try:
        manifest = _manifest(places, container).read_bytes()
        return bool(msgspec.json.decode(manifest, type=_Glance).interface.health)
    except (FileNotFoundError, msgspec.MsgspecError):
        return False


class Declared(msgspec.Struct, frozen=True):
    """What a template says of its instances, and what one of them was told."""

    manifest: "Manifest"
    values: "dict[str, Json]"
    """The values of parameters: where the instance was told nothing, the defaults."""
    missing: tuple[str, ...]
    """Parameters that are not answered, without which the instance serves nobody."""

    def probes(self) -> "tuple[HealthProbe, ...]":
        """Give all probes as the instance has them; HostError for one that cannot be used."""
        from builder.appliance.probes import rendered
        from builder.appliance.variables import Variables

        # None for one without a value, as in all that is rendered for an instance.
        interface = self.manifest.interface
        seen: dict[str, Any] = dict.fromkeys(interface.parameters) | self.values
        made = self.manifest
        variables = Variables(
            parameters=seen,
            template={"name": made.name, "summary": made.summary},
            base={"distro": made.distro, "suite": made.suite, "arch": made.arch},
        )
        return rendered(interface.health, variables)


def read(places: Places, container: Container) -> Declared | None:
    """Read what there is to ask; None where that is nothing."""
    if not has_any(places, container):
        return None
    from builder.model.interface import defaults
    from builder.model.manifest import Manifest
    from builder.runtime.record import instances

    data = _manifest(places, container).read_bytes()
    manifest = msgspec.json.decode(data, type=Manifest)
    values = defaults(manifest.interface.parameters)
    instance = instances.read(places, container.name)
    if instance is None:
        missing = tuple(name for name in manifest.interface.required if name not in values)
        return Declared(manifest, values, missing)
    return Declared(manifest, values | instance.answers.values, instance.answers.missing)


def _manifest(places: Places, container: Container) -> Path:
    return places.data / "templates" / hex_of(container.template) / "manifest.json"
