"""Rates: how much a second goes through a cable, each way, held back by the kernel's queues."""

from collections.abc import Iterable, Iterator

from builder.host.network import link
from builder.model.network import Lease
from builder.runtime.network.addresses import meter_of

# What goes to the container waits in a token bucket (tc-tbf(8)) at the host's end of its cable.
# What comes from it would be counted only after it has come, so it is first sent through an `ifb`
# interface of its own, where it waits as well (https://wiki.linuxfoundation.org/networking/ifb).
# A guest can reach neither: its own queues, at its own end, are its own business.

_BURST = 65536
"""Bytes at least that may pass at once; a smaller bucket never lets a large segment pass."""
_PER_SECOND = 50
"""The bucket holds a rate's share of 20 ms, which a slow clock needs to reach high rates."""


def limited(leases: Iterable[Lease]) -> list[Lease]:
    """Choose those that have a rate."""
    return [lease for lease in leases if lease.rate]


def apply(leases: Iterable[Lease]) -> None:
    """Hold these cables, which are there, to their rates; ones without a rate get free."""
    leases = tuple(leases)
    present = link.interfaces()
    free = [one for one in leases if not one.rate and meter_of(one.interface) in present]
    if free:
        # First the redirection: what is sent to an interface that is gone is lost. A killed command
        # may have made only some of it.
        gone = (
            f"qdisc del dev {one.interface} {kind}" for one in free for kind in ("root", "ingress")
        )
        link.perform(link.tc(gone, tolerant=True))
    link.remove(meter_of(one.interface) for one in free)
    held = limited(leases)
    if held:
        link.configure(_meters(held, present))
        link.perform(link.tc(line for one in held for line in _queues(one)))


def _meters(leases: Iterable[Lease], present: frozenset[str]) -> Iterator[str]:
    for lease in leases:
        meter = meter_of(lease.interface)
        if meter not in present:
            yield f"link add name {meter} txqueuelen 1000 type ifb"
        yield f"link set dev {meter} up"


def _queues(lease: Lease) -> Iterator[str]:
    rate = lease.rate or 0
    bucket = f"tbf rate {rate * 8}bit burst {max(_BURST, rate // _PER_SECOND)} latency 100ms"
    meter = meter_of(lease.interface)
    yield f"qdisc replace dev {lease.interface} root {bucket}"
    yield f"qdisc replace dev {meter} root {bucket}"
    yield f"qdisc replace dev {lease.interface} handle ffff: ingress"
    yield (
        f"filter replace dev {lease.interface} parent ffff: protocol all prio 1 handle 800::800"
        f" u32 match u32 0 0 action mirred egress redirect dev {meter}"
    )
