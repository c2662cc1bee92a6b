"""Redirects: where a server may send a download on to, and where not."""

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import requests

# A server out there that answers with an address of the builder's own network would have its
# services asked by somebody who may, and learn from the outcome. One that is itself in there was
# named by who runs the build, and may send on to its neighbors.

_MOST = 5


class InwardError(Exception):
    """A server sends a download on to where it must not."""


def session() -> "requests.Session":
    """Make a session that follows redirects as far as they are harmless; raises InwardError."""
    import requests  # slow to import

    class Careful(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target and (why := _objection(resp.url, urljoin(resp.url, target))):
                resp.close()
                raise InwardError(why)
            if target:
                resp.close()  # or it would be read to an end that need not come
            return target

    made = Careful()
    made.max_redirects = _MOST
    return made


def _objection(origin: str, target: str) -> str | None:
    """Say why nobody is to be asked there; None where it is fine."""
    before, after = urlsplit(origin), urlsplit(target)
    if after.scheme not in {"http", "https"} or (before.scheme, after.scheme) == ("https", "http"):
        return f"`{origin}` sends on from {before.scheme} to `{target}`"
    if before.hostname == after.hostname:
        return None
    if _is_outside(before.hostname) and not _is_outside(after.hostname):
        return f"`{origin}` sends on to `{target}`, which is in this host's own network"
    return None


def _is_outside(host: str | None) -> bool:
    """Tell whether all addresses of a host are public ones; one without any is asked by nobody."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(one[4][0]).is_global for one in found)
