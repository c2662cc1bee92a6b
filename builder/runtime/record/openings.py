"""Openings: what a container was given that makes one of its walls lower, in words."""

from collections.abc import Iterable, Iterator

from builder.model.host_access import HostAccess, show_host_access
from builder.runtime.record.container import Container, Limits

_LIMITS = ("memory", "cpus", "pids", "disk")
"""Without these a container may take what there is (docs/explanation/threat-model.md)."""


def openings(container: Container, host: Iterable[tuple[str, HostAccess]]) -> Iterator[str]:
    """Tell each; `host` has what of the host is reached on each of its networks."""
    for bind in container.binds:
        if not bind.read_only:
            yield f"root inside writes in `{bind.source}`"
    for network, access in host:
        if access != "none":
            yield f"reaches {show_host_access(access)} of the host on `{network}`"
    if missing := _unlimited(container.limits):
        yield f"no limit of {', '.join(missing)}"


def _unlimited(limits: Limits) -> list[str]:
    return [name for name in _LIMITS if getattr(limits, name) is None]
