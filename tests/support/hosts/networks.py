"""Networks for tests: a host of its own with bridges, a machine outside, containers to attach."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from builder.host.network import link
from builder.host.programs import Command, on_host
from builder.model.host_access import HostAccess
from builder.model.network import Lease, Network, parse_ports
from builder.runtime.network.addresses import OURS
from builder.runtime.network.bridges import Switch
from builder.runtime.network.growth import BridgeSpec, NetworkMember
from tests.support.hosts.netns import Namespace

HOST, HOST6 = "198.51.100.1", "2001:db8::1"
OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8::2"
BLOCKED = "TimeoutError"
REFUSED = "ConnectionRefusedError"
FOREIGN = "table inet others {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"

# Most tests ask the host itself; what of it is reached by default, tests/attacks tell.
OVEN = Network(name="oven", subnet="10.213.0.0/24", subnet6="fd00:0:0:1::/64", host="all")
WEB = Network(name="web", subnet="10.214.0.0/24", subnet6="fd00:0:0:2::/64", host="all")
GATEWAY, GATEWAY6 = "10.213.0.1", "fd00:0:0:1::1"


@dataclass
class Rig:
    """A host, its bridges, a machine outside, and containers to attach."""

    host: Namespace
    outside: Namespace
    folder: Path
    stack: contextlib.ExitStack
    network: Network = OVEN
    switch: Switch = field(init=False)

    def __post_init__(self) -> None:
        self.switch = Switch(self.folder)

    def container(self) -> Namespace:
        made = Namespace(userns=True)
        self.stack.callback(made.close)
        return made

    def attach(self, name: str, *ports: str, address: str | None = None) -> tuple[Namespace, Lease]:
        made = self.container()
        return made, self.join(made, name, *ports, address=address)

    def join(self, made: Namespace, name: str, *ports: str, address: str | None = None) -> Lease:
        return self.connect(made, name, wish(self.network, address=address), ports=ports)[0]

    def connect(
        self, made: Namespace, name: str, *wishes: BridgeSpec, ports: tuple[str, ...] = ()
    ) -> tuple[Lease, ...]:
        mappings = tuple(one for text in ports for one in parse_ports(text))
        return self.switch.attach(NetworkMember(name, name, made.pid, mappings), wishes)

    def on(self, name: str, *networks: Network) -> tuple[Namespace, tuple[Lease, ...]]:
        """Attach a new container to these networks."""
        made = self.container()
        return made, self.connect(made, name, *map(wish, networks))

    def leases(self) -> tuple[Lease, ...]:
        return self.switch.state().leases

    def assert_clean(self) -> None:
        """See that nothing of Oven is on the host."""
        assert link.interfaces() == {"lo", "lan0"}
        assert ruleset() == FOREIGN
        assert self.host.run("ip", "route", "show", "table", "all").count("oven") == 0
        assert self.host.run("ip", "-6", "route", "show", "table", "all").count("oven") == 0
        assert self.host.run("ip", "neigh").count("oven") == 0
        assert {path.name for path in self.folder.iterdir()} <= {"lock"}
        assert self.servers() == []

    def servers(self) -> list[int]:
        """List the name servers of these networks."""
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if str(self.folder).encode() in _content(path)
        ]


LOOKUP = """
import socket, struct, sys
server, name, kind = sys.argv[1:]
question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0"
number = {"A": 1, "AAAA": 28, "PTR": 12}[kind]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout(1)
try:
    s.connect((server, 53))
    s.send(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + question + struct.pack("!2H", number, 1))
    answer = s.recv(2000)
except OSError as error:
    print(type(error).__name__)
    sys.exit()
_, flags, _, count, _, _ = struct.unpack("!6H", answer[:12])
found = []
at = 12 + len(question) + 4
for _ in range(count):
    at += 2
    kind, _, _, length = struct.unpack("!2HIH", answer[at : at + 10])
    data = answer[at + 10 : at + 10 + length]
    found.append(socket.inet_ntop({4: socket.AF_INET, 16: socket.AF_INET6}[length], data)
                 if length in {4, 16} else data.decode("latin-1"))
    at += 10 + length
print(" ".join(found) or {0: "nothing", 3: "unknown", 5: "refused"}.get(flags & 15, flags & 15))
"""


def lookup(asker: Namespace, name: str, kind: str = "A", server: str = GATEWAY) -> str:
    """Ask a name server; give the addresses, or what it says instead."""
    return asker.run(sys.executable, "-IS", "-c", LOOKUP, server, name, kind).strip()


def wish(
    network: Network,
    *,
    address: str | None = None,
    address6: str | None = None,
    rate: int | None = None,
    host: HostAccess | None = None,
) -> BridgeSpec:
    return BridgeSpec(network.name, network, address, address6, rate, host)


def cables() -> list[str]:
    """Name the interfaces of Oven."""
    return sorted(name for name in link.interfaces() if name.startswith(OURS))


def ruleset() -> str:
    return on_host(Command(("nft", "list", "ruleset"))).stdout.decode()


@contextlib.contextmanager
def rig_on(host: Namespace, outside: Namespace) -> Iterator[Rig]:
    """Give an empty host, and see that it is empty again in the end."""
    # Not in pytest's folder, which the user of the name server may not look into.
    folder = Path(tempfile.mkdtemp(prefix="oven-test-", dir="/run"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.callback(host.stop_servers)
        stack.callback(outside.stop_servers)
        rig = Rig(host, outside, folder, stack)
        yield rig
        for key in {lease.key for lease in rig.leases()}:
            rig.switch.detach(key)
        rig.switch.detach("nobody")
        rig.assert_clean()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
