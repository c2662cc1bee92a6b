"""Zones: what one says, and how that is written (RFC 1035, 5)."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

import msgspec

SERVER = "ns.test"
"""The name server of all zones that are not led elsewhere."""
TTL = 1
"""Seconds that anybody may remember a record: tests change them."""
_STRING = 255
"""Bytes at most of one string of a TXT record (RFC 1035, 3.3)."""

Records = Mapping[tuple[str, str], tuple[str, ...]]
"""Values by name and type."""


class Zone(msgspec.Struct, frozen=True):
    """A zone at one moment. Names are in small letters, without the last dot; the root is `.`."""

    name: str
    records: Records = {}
    serial: int = 0
    spoilt: bool = False
    """Whether its signatures have expired."""

    def holds(self, name: str) -> bool:
        """Tell whether a name is the zone's or lies below."""
        return self.name in {".", name} or name.endswith(f".{self.name}")

    def text(self) -> str:
        """Write it as a zone file."""
        lines = [
            "$ORIGIN .",
            f"$TTL {TTL}",
            f"{self.name} SOA {SERVER} hostmaster.test {self.serial} 3600 600 86400 {TTL}",
            f"{self.name} NS {SERVER}",
            *(f"{name} {kind} {value}" for (name, kind), values in self.records.items()
              for value in values),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def having(self, name: str, kind: str, values: Iterable[str]) -> "Zone":
        """Give the next zone, in which a name has these values, and no other of that type."""
        kept = {key: value for key, value in self.records.items() if key != (name, kind)}
        written = tuple(dict.fromkeys(map(quoted, values) if kind == "TXT" else values))
        changed = {**kept, (name, kind): written} if written else kept
        return msgspec.structs.replace(self, records=changed, serial=self.serial + 1)

    def kinds(self, name: str) -> Iterator[str]:
        """List the types of records that a name has."""
        return (kind for known, kind in self.records if known == name)


def canonical(name: str) -> str:
    """Write a name as zones have it."""
    return name.rstrip(".").lower() or "."


def reverse(address: str) -> str:
    """Give the name that an address is looked up by, such as `5.0.0.10.in-addr.arpa`."""
    return ip_address(address).reverse_pointer


def kind_of(address: str) -> str:
    """Give the type of record that has such an address: A or AAAA."""
    return "AAAA" if ip_address(address).version == 6 else "A"


def quoted(text: str) -> str:
    """Write the value of a TXT record, of any length; what is quoted already stays."""
    if text.startswith('"'):
        return text
    data = text.encode()
    parts = (data[at : at + _STRING] for at in range(0, len(data) or 1, _STRING))
    return " ".join(f'"{"".join(map(_character, part))}"' for part in parts)


def _character(byte: int) -> str:
    if chr(byte) in '"\\':
        return f"\\{byte:c}"
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03d}"
