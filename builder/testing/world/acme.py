"""ACME: two authorities of the world that give out certificates (RFC 8555), by pebble."""

from dataclasses import dataclass
from functools import cached_property

from builder.testing.container import Container

HOST = "acme.test"
_ROOTS = ("/run/certificate/cert.pem", "/run/pebble-long.pem", "/run/pebble-short.pem")


@dataclass
class Acme:
    """Looks names up by the world's resolver, and at port 80 or 443 of where they lead."""

    server: Container

    directory = f"https://{HOST}/dir"
    """Its certificates are good for 90 days."""
    short = f"https://{HOST}:1443/dir"
    """Another authority, whose certificates are good for an hour: they are always to be renewed."""

    @cached_property
    def ca(self) -> str:
        """What to believe, as PEM: who gives certificates out, and the servers of the world."""
        return self.server.exec("cat", *_ROOTS)
