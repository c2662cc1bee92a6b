"""Asking one server one question: whether it answers as it should, and if not, why."""

import ipaddress
import ssl
from collections.abc import Callable, Mapping

from builder.host.network.asking import certificates, databases, mail, resolver, web
from builder.host.network.asking.stream import Stream, WrongAnswerError
from builder.model.health import HealthProbe, Kind, port_of

Dialog = Callable[[Stream, HealthProbe, str], None]


def _nothing(_: Stream, __: HealthProbe, ___: str) -> None:
    """Be content with the connection."""


_DIALOGS: Mapping[Kind, Dialog] = {
    "tcp": _nothing,
    "tls": _nothing,
    "http": web.ask,
    "smtp": mail.smtp,
    "lmtp": mail.smtp,
    "imap": mail.imap,
    "pg": databases.pg,
    "mysql": databases.mysql,
    "redis": databases.redis,
    "ldap": databases.ldap,
}


def ask(probe: HealthProbe, host: str) -> str:
    """Ask the server at an address, from the namespace that this process is in.

    Gives why it does not work; nothing when it does. This may take for ever.
    """
    try:
        address = str(ipaddress.ip_address(host))
        port = port_of(probe)
    except ValueError as error:
        return f"cannot be asked: {error}"
    where = f"port {port}"
    try:
        if probe.kind == "dns":
            resolver.ask(probe, address)
        else:
            _talk(probe, address, port)
    except WrongAnswerError as error:
        return f"{where} {error}"
    except ConnectionRefusedError:
        return f"{where} of {address} is closed"
    except ConnectionError:
        return f"{where} closes the connection"
    except ssl.SSLError as error:
        return f"{where} does not speak TLS as it should: {error.reason or error.strerror}"
    except OSError as error:
        return f"{where} of {address} cannot be reached: {error.strerror or error}"
    return ""


def _talk(probe: HealthProbe, address: str, port: int) -> None:
    stream = Stream(address, port)
    if probe.tls or probe.kind == "tls":
        name = probe.names[0] if probe.names else ""
        certificates.check(stream.over_tls(name), probe.names, probe.days)
    _DIALOGS[probe.kind](stream, probe, address)
