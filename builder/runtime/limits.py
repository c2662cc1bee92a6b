"""Limits: which of them this host can enforce."""

from builder.host import cgroups
from builder.model.errors import HostError
from builder.runtime.container import Limits


def check(limits: Limits) -> None:
    """Refuse a limit that this host cannot enforce, instead of forgetting it."""
    present = cgroups.controllers()
    wanted = {"memory": limits.memory, "pids": limits.pids, "cpu": limits.cpus}
    for controller, value in wanted.items():
        if value is not None and controller not in present:
            raise HostError(
                f"this host cannot limit {controller}: it has no such cgroup controller",
                hint="leave the limit out, or enable the controller on the kernel's command line",
            )
    if limits.disk is not None or limits.inodes is not None:
        from builder.runtime import disk

        disk.check(limits)
