"""The host's name servers that a container could ask itself."""

import contextlib
from pathlib import Path

RESOLV_CONF = (
    "etc/resolv.conf",
    "run/systemd/resolve/resolv.conf",
    "run/NetworkManager/no-stub-resolv.conf",
)
"""Where name servers are looked up, the later ones for when the earlier name only local stubs."""


def resolvers(root: Path = Path("/")) -> tuple[str, ...]:
    """List the host's name servers that a container can reach.

    A stub on the loopback interface is none of them, and neither is one with an IPv6 address;
    what the stub itself asks is looked up instead.
    """
    for name in RESOLV_CONF:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            words = map(str.split, (root / name).read_text(errors="replace").splitlines())
            servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
            usable = [s for s in servers if ":" not in s and not s.startswith(("127.", "0."))]
            if usable:
                return tuple(dict.fromkeys(usable))
    return ()
