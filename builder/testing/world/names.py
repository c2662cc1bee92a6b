"""Names: the zones of the world, signed from the root on, and changed by tests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from builder.testing.container import Container
from builder.testing.world.zone import SERVER, Zone, canonical, kind_of, reverse

__all__ = ["SERVER", "Names"]

_FIRST = ("test", "in-addr.arpa", "ip6.arpa")
"""The zones below the root."""
_EXPIRED = ("-i", "20200101", "-e", "20200102")
"""Options of ldns-signzone(1): the days that signatures are good for."""

# A zone is changed whole: its text goes to the server, is signed and served there, or nothing has
# changed. The parent has a hash of the key, so that all can be held against the root's.


@dataclass
class Names:
    """All names that there are; `.test` is there, and so are the names of addresses.

    A name belongs to the lowest zone that holds it; what no other zone holds stands in the root.
    """

    server: Container
    """Has all zones; its address is the root's."""
    resolver: Container
    """Finds and validates for all who ask it."""
    trust_anchor: str = ""
    """The root's DS record, by which other resolvers can validate, too."""
    _zones: dict[str, Zone] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the resolver is."""
        return str(self.resolver.facts["addresses"][0])

    @property
    def roots(self) -> Sequence[tuple[str, str]]:
        """The addresses of the root, each with its type, for resolvers of one's own."""
        return [(kind_of(one), one) for one in self.server.facts["addresses"]]

    def begin(self) -> None:
        """Serve the first zones."""
        zones = {name: Zone(name) for name in (".", *_FIRST)}
        for kind in ("A", "AAAA"):
            values = [one for of, one in self.roots if of == kind]
            for name in (".", "test"):
                zones[name] = zones[name].having(SERVER, kind, values)
        for name in _FIRST:
            zones["."] = _led(zones["."], name, self._publish(zones[name]))
        self.trust_anchor = f". DS {self._publish(zones['.'])}"
        self._zones = zones

    def add(self, name: str, kind: str, *values: str) -> None:
        """Give a name more values, as in `add("example.test", "MX", "10 mail.example.test")`.

        The text of a TXT record is quoted, and cut, where it has to be.
        """
        __tracebackhide__ = True
        zone, name = self._zone_of(name), canonical(name)
        known = zone.records.get((name, kind.upper()), ())
        self._change(zone.having(name, kind.upper(), (*known, *values)))

    def remove(self, name: str, kind: str | None = None) -> None:
        """Take all values of a type from a name, or all that it has."""
        __tracebackhide__ = True
        zone, name = self._zone_of(name), canonical(name)
        for one in [kind.upper()] if kind else [*zone.kinds(name)]:
            zone = zone.having(name, one, ())
        self._change(zone)

    def host(self, name: str, *addresses: str) -> None:
        """Have a name lead to these addresses alone, and each of them to that name."""
        __tracebackhide__ = True
        zone, name = self._zone_of(name), canonical(name)
        for kind in ("A", "AAAA"):
            zone = zone.having(name, kind, [one for one in addresses if kind_of(one) == kind])
        self._change(zone)
        for one in addresses:
            pointer = reverse(one)
            self._change(self._zone_of(pointer).having(pointer, "PTR", [name]))

    def delegate(self, zone: str, *, to: Iterable[str] = (), ds: Iterable[str] = ()) -> None:
        """Make a zone of its own, signed; or lead to another server by its addresses.

        Without the DS records of its keys, what that server says is not validated.
        """
        __tracebackhide__ = True
        name, servers = canonical(zone), [*to]
        parent = self._zone_of(name)
        moved = {key: known for key, known in parent.records.items() if Zone(name).holds(key[0])}
        for key in moved:
            parent = parent.having(*key, ())
        if servers:
            parent = parent.having(name, "NS", [f"ns.{name}"]).having(name, "DS", ds)
            for kind in ("A", "AAAA"):
                glue = [one for one in servers if kind_of(one) == kind]
                parent = parent.having(f"ns.{name}", kind, glue)
        else:
            own = Zone(name, moved, 1)
            parent = _led(parent, name, self._publish(own))
            self._zones[name] = own
        self._change(parent)

    def spoil(self, zone: str) -> None:
        """Let the signatures of a zone have expired, so that nobody who validates believes it."""
        self._change(self._marked(zone, spoilt=True))

    def mend(self, zone: str) -> None:
        """Sign it well again."""
        self._change(self._marked(zone, spoilt=False))

    def knows(self, name: str) -> bool:
        """Tell whether a name, one above or one below, is of this world."""
        name = canonical(name)
        if self._zone_of(name).name != ".":
            return True
        known = [one for one, _ in self._zones["."].records]
        return any(f".{one}".endswith(f".{name}") or f".{name}".endswith(f".{one}")
                   for one in (*known, *self._zones) if one != ".")  # fmt: skip

    def _marked(self, zone: str, *, spoilt: bool) -> Zone:
        found = self._zones[canonical(zone)]
        return msgspec.structs.replace(found, spoilt=spoilt, serial=found.serial + 1)

    def _zone_of(self, name: str) -> Zone:
        name = canonical(name)
        return max((one for one in self._zones.values() if one.holds(name)),
                   key=lambda one: len(one.name))  # fmt: skip

    def _change(self, zone: Zone) -> None:
        """Serve a zone, and have the resolver forget what it knows of it."""
        __tracebackhide__ = True
        self._publish(zone)
        self._zones[zone.name] = zone
        self.resolver.exec("unbound-control", "flush_zone", zone.name)

    def _publish(self, zone: Zone) -> str:
        """Have a zone signed and served; give the hash of its key."""
        __tracebackhide__ = True
        options = _EXPIRED if zone.spoilt else ()
        said = self.server.exec("publish-zone", zone.name, *options, stdin=zone.text().encode())
        return " ".join(said.split()[3:])


def _led(parent: Zone, name: str, ds: str) -> Zone:
    return parent.having(name, "NS", [SERVER]).having(name, "DS", [ds])
