"""The firewall: containers in, the nftables rules that serve and bind them out."""

from collections.abc import Iterable

from builder.model.network import Lease, PortMapping

# Two tables of our own, so that no other program's rules are touched (nft(8)). They are a function
# of the leases and are always replaced as a whole, in one transaction; only a container that
# joins an intact network is merely added, which costs half the time.
#
# The bridge is the trust boundary. A guest is root over its end of the cable, so frames count
# only with the addresses that were leased to that very cable; IPv6, which is not offered, and
# all else is dropped, router advertisements included.

BRIDGE = "oven0"
CABLES = "oven-"
"""What the names of all cables begin with."""

REMOVAL = """\
table inet oven
delete table inet oven
table bridge oven
delete table bridge oven
"""
"""Removes both tables, also where there are none."""

_RULES = """
table inet oven {{
  map ports {{
    type inet_proto . inet_service : ipv4_addr . inet_service
    {ports}
  }}
  map ports_at {{
    type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
    {ports_at}
  }}
  chain guard {{
    type filter hook prerouting priority raw
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
  chain publish {{
    dnat ip to meta l4proto . ip daddr . th dport map @ports_at
    dnat ip to meta l4proto . th dport map @ports
  }}
  chain arriving {{
    type nat hook prerouting priority dstnat
    fib daddr type local jump publish
  }}
  chain from_host {{
    type nat hook output priority -100
    fib daddr type local jump publish
  }}
  chain forward {{
    type filter hook forward priority filter
    iifname "{bridge}" accept
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" ct status dnat accept
    oifname "{bridge}" drop
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat
    oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade
    oifname "{bridge}" ip saddr {subnet} ct status dnat masquerade
    oifname != "{bridge}" ip saddr {subnet} masquerade
  }}
}}
table bridge oven {{
  set guests {{
    type ifname . ether_addr . ipv4_addr
    {guests}
  }}
  chain arriving {{
    type filter hook prerouting priority -300
    iifname != "{cables}*" accept
    ether type ip iifname . ether saddr . ip saddr @guests accept
    ether type arp iifname . ether saddr . arp saddr ip @guests \
iifname . arp saddr ether . arp saddr ip @guests accept
    drop
  }}
}}
"""
# guard: `route_localnet` on the bridge would let guests reach what listens on the host's loopback
#   interface, and neighbors on the LAN reach ports published on 127.0.0.1: their packets are
#   turned to the container before the kernel looks for martians
#   (https://github.com/moby/moby/issues/45610).
# forward: the host routes now, but nobody outside may route to a container past its ports.
# leaving: the host's loopback address is no good as a sender on the bridge; and a guest that asks
#   for a published port of its own bridge must get the answer by way of the host.


def ruleset(subnet: str, leases: Iterable[Lease]) -> str:
    """Give the transaction that replaces both tables by what these leases need."""
    leases = tuple(leases)
    everywhere, somewhere = _ports(leases)
    return REMOVAL + _RULES.format(
        bridge=BRIDGE,
        cables=CABLES,
        subnet=subnet,
        ports=_elements(everywhere),
        ports_at=_elements(somewhere),
        guests=_elements(map(_guest, leases)),
    )


def addition(lease: Lease) -> str:
    """Give the transaction that adds one container; nft refuses it where the tables are missing."""
    everywhere, somewhere = _ports((lease,))
    lines = [f"add element bridge oven guests {{ {_guest(lease)} }}"]
    lines += [f"add element inet oven ports {{ {element} }}" for element in everywhere]
    lines += [f"add element inet oven ports_at {{ {element} }}" for element in somewhere]
    return "\n".join(lines) + "\n"


def _ports(leases: Iterable[Lease]) -> tuple[list[str], list[str]]:
    """Sort the published ports into those of every address of the host and those of one."""
    everywhere, somewhere = [], []
    for lease in leases:
        for mapping in lease.ports:
            target = f"{lease.address} . {mapping.port}"
            if mapping.address:
                somewhere.append(f"{_claim(mapping, f'{mapping.address} . ')} : {target}")
            else:
                everywhere.append(f"{_claim(mapping)} : {target}")
    return everywhere, somewhere


def _claim(mapping: PortMapping, address: str = "") -> str:
    return f"{mapping.protocol} . {address}{mapping.host}"


def _guest(lease: Lease) -> str:
    return f'"{lease.interface}" . {lease.mac} . {lease.address}'


def _elements(elements: Iterable[str]) -> str:
    inner = ", ".join(elements)
    return f"elements = {{ {inner} }}" if inner else ""
