"""The world: a small internet of our own containers, for appliances that live in one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.testing.container import Container, fresh_name
from builder.testing.verbs import oven
from builder.testing.world import acme, sink
from builder.testing.world.acme import Acme
from builder.testing.world.names import SERVER, Names
from builder.testing.world.sink import Sink
from builder.testing.world.zone import kind_of

NAMES, SERVICES = "test-names", "test-world"
"""The shipped recipes that it is made from: the authoritative server, and all else."""

# The resolver is the world's, and so the root that it asks, and what it believes. It asks the
# network's own server for the network's own names.

_TELL = """\
set -eu
cd /etc/unbound
{ echo 'server:'; echo "    domain-insecure: $1"; echo 'forward-zone:'; echo "    name: $1"
  sed -n 's/^nameserver /    forward-addr: /p' /etc/resolv.conf; } >network.conf
{ echo ". NS $2"; cat; } >root.hints
echo "$3" >root.key
systemctl start unbound.service
"""


@dataclass(frozen=True)
class World:
    """What tests know of the world."""

    names: Names
    acme: Acme
    sink: Sink

    @property
    def containers(self) -> Sequence[Container]:
        """Give all that it is made of."""
        return (self.names.server, self.names.resolver)


def make(network: str, boot: Callable[[Container, str], None]) -> World:
    """Start a world on a network; whoever starts there afterwards lives in it.

    `boot` starts a container there from a template.
    """
    server, services = Container(fresh_name("names")), Container(fresh_name("world"))
    for one, recipe in ((server, NAMES), (services, SERVICES)):
        oven("build", "--no-probe", recipe)
        boot(one, recipe)
    names = Names(server, services)
    names.begin()
    hints = "".join(f"{SERVER} {kind} {one}\n" for kind, one in names.roots)
    tell = ("sh", "-c", _TELL, "sh", network, SERVER, names.trust_anchor)
    services.exec(*tell, stdin=hints.encode())
    addresses = services.facts["addresses"]
    names.host(sink.HOST, *addresses)
    names.add(sink.HOST, "MX", f"10 {sink.HOST}")
    for one in addresses:
        names.add(acme.HOST, kind_of(one), one)
    oven("network", "set", network, "--dns", names.address)
    return World(names, Acme(services), Sink(services))
