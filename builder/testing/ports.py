"""Open ports: what others can reach of an instance."""

_LOOPBACK = ("127.", "[::1]")


def open_ports(listing: str) -> dict[str, str]:
    """Read what ss(8) lists: of each port beyond the loopback interface, who has it."""
    found = {}
    for line in listing.splitlines():
        protocol, _, _, _, local, _, *process = line.split()
        address, _, port = local.rpartition(":")
        if not address.startswith(_LOOPBACK) and not address.endswith("%lo"):
            who = process[0].split('"')[1] if process else "the kernel"
            found[f"{port}/{protocol}"] = who
    return found
