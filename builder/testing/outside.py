"""The way out: whom an instance has looked for beyond the network of the tests."""

from collections.abc import Iterable

from builder.testing.container import Instance

# That network leads nowhere, so nothing gets out. A name is heard when it is asked for; and the
# kernel of a container counts what has no route, from its start on.


def names(asked: Iterable[str], network: str) -> list[str]:
    """Leave out names of the network itself, and what asks for the names of addresses."""
    inside = (network, "arpa", "localhost")
    return sorted(one for one in asked if "." in one and one.rpartition(".")[2] not in inside)


def attempts(instance: Instance) -> int:
    """Count what had no route, of both families (`OutNoRoutes` of RFC 4293)."""
    said = instance.exec("cat", "/proc/net/snmp", "/proc/net/snmp6").splitlines()
    keys, values = (line.split() for line in said if line.startswith("Ip: "))
    of_six = sum(int(line.split()[1]) for line in said if line.startswith("Ip6OutNoRoutes"))
    return int(values[keys.index("OutNoRoutes")]) + of_six
