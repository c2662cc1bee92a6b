"""Host access: which services of the host a container may ask on a network."""

from typing import Annotated, Literal

import msgspec

from builder.model.errors import RecipeError
from builder.model.value import Value

Protocol = Literal["tcp", "udp"]


class HostPort(Value, frozen=True, kw_only=True, order=True):
    """A port of the host that may be asked."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    protocol: Protocol = "tcp"

    def __str__(self) -> str:
        """Write it as `--host` takes it."""
        return f"{self.port}" if self.protocol == "tcp" else f"{self.port}/{self.protocol}"


HostAccess = Literal["all", "none"] | tuple[HostPort, ...]
"""All that listens on an address that the container can route to, nothing, or these ports.

The name server of a network answers its members in any case.
"""

_MOST = 64


def parse_host_access(text: str) -> HostAccess:
    """Read `all`, `none`, or ports as `25+53/udp`; raises RecipeError."""
    if text == "all":
        return "all"
    if text == "none":
        return "none"
    words = text.split("+")
    found = tuple(sorted({_port(word, text) for word in words[: _MOST + 1]}))
    if len(found) > _MOST:
        raise RecipeError(f"these are more than {_MOST} ports of the host", hint="use `all`")
    return found


def show_host_access(access: HostAccess) -> str:
    """Write it as `parse_host_access` reads it."""
    return access if isinstance(access, str) else "+".join(map(str, access))


def _port(word: str, text: str) -> HostPort:
    number, slash, protocol = word.partition("/")
    if not (number.isascii() and number.isdigit() and len(number) <= 5):
        raise _no_access(text)
    if slash and protocol not in {"tcp", "udp"}:
        raise _no_access(text)
    if not 1 <= int(number) <= 65535:
        raise _no_access(text)
    return HostPort(port=int(number), protocol="udp" if protocol == "udp" else "tcp")


def _no_access(text: str) -> RecipeError:
    return RecipeError(
        f"`{text}` does not say what of the host may be reached",
        hint="write `all`, `none`, or ports as `25`, `25+53/udp`; they go from 1 to 65535",
    )
