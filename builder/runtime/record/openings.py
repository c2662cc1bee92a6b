"""Openings: what a container was given that makes one of its walls lower, in words."""

from collections.abc import Iterable, Iterator

from builder.model.host_access import HostAccess, show_host_access
from builder.runtime.record.container import Container, Limits

_LIMITS = ("memory", "cpus", "disk")
"""Without these a container may take what there is (docs/explanation/threat-model.md)."""
_FEATURES = {
    "nesting": "sees what is masked in `/proc` and `/sys`",
    "fuse": "mounts file systems by `/dev/fuse`",
    "tun": "makes network interfaces by `/dev/net/tun`",
    "kmsg": "reads the host's kernel log where `kernel.dmesg_restrict` is 0",
}


def openings(container: Container, host: Iterable[tuple[str, HostAccess]]) -> Iterator[str]:
    """Tell each; `host` has what of the host is reached on each of its networks."""
    for bind in container.binds:
        if not bind.read_only:
            yield f"root inside writes in `{bind.source}`"
    for network, access in host:
        if access != "none":
            yield f"reaches {show_host_access(access)} of the host on `{network}`"
    yield from (_FEATURES[one] for one in container.features if one in _FEATURES)
    for path in container.devices:
        yield f"root inside has the host's `{path}`"
    if missing := _unlimited(container.limits):
        yield f"no limit of {', '.join(missing)}"


def _unlimited(limits: Limits) -> list[str]:
    return [name for name in _LIMITS if getattr(limits, name) is None]
