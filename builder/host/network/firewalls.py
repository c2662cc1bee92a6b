"""Barriers: rules of other firewalls that keep containers from the network, and what mends that.

A drop is final, whatever other tables say (nft(8)), so that our own rules cannot let pass what
somebody else's drop. All of our interfaces that other rules can see are called `oven…`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.programs import PROMPT, Command, find_program, on_host
from builder.model.errors import HostError

Way = Literal["forward", "input"]

_LEGACY = Path("/proc/self/net")


class Barrier(msgspec.Struct, frozen=True):
    """A chain that drops by default, and has no word for containers."""

    chain: str
    """Such as `ip filter FORWARD`."""
    way: Way
    """What it sees: packets between containers and the world, or those to this host."""
    fix: str
    """The command that lets containers pass, until the firewall is set up anew."""


class _Chain(msgspec.Struct):
    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = ""


class _Ruled(msgspec.Struct):
    chain: _Chain | None = None


class _Ruleset(msgspec.Struct):
    nftables: list[_Ruled]


def barriers() -> tuple[Barrier, ...]:
    """Look for barriers in all tables, those of the older iptables included."""
    return (*_of_nftables(), *_of_older_iptables())


def _of_nftables() -> Iterator[Barrier]:
    done = on_host(Command(("nft", "-j", "list", "chains"), limit=PROMPT))
    if done.code != 0:
        raise HostError(f"`nft` cannot list what there is: {done.output.strip()}")
    found = msgspec.json.decode(done.stdout, type=_Ruleset).nftables
    chains = [one.chain for one in found if one.chain and one.chain.table != "oven"]
    for chain in chains:
        if chain.policy != "drop" or chain.family not in {"ip", "ip6", "inet"}:
            continue
        if chain.hook not in {"forward", "input"}:
            continue
        if not _lets_pass(chain):
            way: Way = "forward" if chain.hook == "forward" else "input"
            names = {one.name for one in chains if _table(one) == _table(chain)}
            name = f"{chain.family} {chain.table} {chain.name}"
            yield Barrier(name, way, _fix(chain, way, names))


def _lets_pass(chain: _Chain) -> bool:
    """Tell whether somebody has taken care of us anywhere in the table."""
    listing = Command(("nft", "list", "table", *_table(chain)), limit=PROMPT)
    text = on_host(listing).stdout.decode(errors="replace")
    sides = ("iifname",) if chain.hook == "input" else ("iifname", "oifname")
    lines = [line for line in text.splitlines() if line.rstrip().endswith("accept")]
    return all(any(f'{side} "oven' in line for line in lines) for side in sides)


def _table(chain: _Chain) -> tuple[str, str]:
    return chain.family, chain.table


def _fix(chain: _Chain, way: Way, names: set[str]) -> str:
    if chain.table == "firewalld":
        add = "firewall-cmd --permanent --zone=trusted --add-interface=oven+"
        return f"{add} && firewall-cmd --reload"
    program = {"ip": "iptables", "ip6": "ip6tables"}.get(chain.family)
    if chain.name in {"FORWARD", "INPUT"} and program and find_program(program):
        # Docker leaves what is in this chain as it is when it sets up its own rules again.
        own = way == "forward" and "DOCKER-USER" in names
        return _iptables(program, "DOCKER-USER" if own else chain.name, way)
    place = f"{chain.family} {chain.table} {chain.name}"
    if way == "input":
        rule = 'iifname "oven*" meta l4proto { tcp, udp } th dport 53 accept'
        return f"nft 'insert rule {place} {rule}'"
    rules = [f'insert rule {place} {side} "oven*" accept' for side in ("iifname", "oifname")]
    return f"nft '{'; '.join(rules)}'"


def _iptables(program: str, chain: str, way: Way) -> str:
    if way == "input":
        rules = [f"-i oven+ -p {protocol} --dport 53" for protocol in ("udp", "tcp")]
    else:
        rules = ["-i oven+", "-o oven+"]
    return " && ".join(f"{program} -I {chain} {rule} -j ACCEPT" for rule in rules)


def _of_older_iptables() -> Iterator[Barrier]:
    """Look at the tables of which nftables knows nothing, where the kernel has some."""
    for family, names in (("ip", "ip_tables_names"), ("ip6", "ip6_tables_names")):
        program = {"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}[family]
        with contextlib.suppress(FileNotFoundError):
            tables = (_LEGACY / names).read_text(encoding="ascii").split()
            if "filter" in tables and find_program(program):
                yield from _of_legacy_table(program, family)


def _of_legacy_table(program: str, family: str) -> Iterator[Barrier]:
    lines = (
        on_host(Command((program, "-S"), limit=PROMPT)).stdout.decode(errors="replace").splitlines()
    )
    for way, chain, side in (("forward", "FORWARD", "-o oven"), ("input", "INPUT", "-i oven")):
        if f"-P {chain} DROP" in lines and not any(side in line for line in lines):
            own = way == "forward" and "-N DOCKER-USER" in lines
            kind: Way = "forward" if way == "forward" else "input"
            fix = _iptables(program, "DOCKER-USER" if own else chain, kind)
            yield Barrier(f"{family} filter {chain} (iptables-legacy)", kind, fix)
