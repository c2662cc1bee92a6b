"""Certificates: whether one is valid, for how long, and for which names."""

import datetime as dt
from collections.abc import Sequence

from cryptography import x509

from builder.host.network.asking.stream import WrongAnswerError

_SHOWN = 5


def check(der: bytes, names: Sequence[str], days: int) -> None:
    """Raise WrongAnswerError when it is not valid, not for so many days, or not for those names."""
    try:
        found = x509.load_der_x509_certificate(der)
        own = _names(found)
    except ValueError:
        raise WrongAnswerError("has a certificate that cannot be read") from None
    now = dt.datetime.now(dt.UTC)
    if now < found.not_valid_before_utc:
        raise WrongAnswerError(
            f"has a certificate that is valid from {_day(found.not_valid_before_utc)} on"
        )
    left = found.not_valid_after_utc - now
    if left.total_seconds() <= 0:
        raise WrongAnswerError(
            f"has a certificate that expired on {_day(found.not_valid_after_utc)}"
        )
    if left < dt.timedelta(days=days):
        raise WrongAnswerError(f"has a certificate that is valid for {left.days} days, not {days}")
    for name in names:
        if not any(_fits(name.lower(), one.lower()) for one in own):
            raise WrongAnswerError(f"has no certificate for `{name}`, but for {_list(own)}")


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    addresses = alternative.value.get_values_for_type(x509.IPAddress)
    return [*alternative.value.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _fits(name: str, own: str) -> bool:
    """Compare as clients do: a star stands for one whole label (RFC 9525)."""
    if own.startswith("*."):
        return name.partition(".")[2] == own[2:] and "." in name
    return name == own


def _day(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _list(names: Sequence[str]) -> str:
    printable = ("".join(filter(str.isprintable, name))[:100] for name in names[:_SHOWN])
    return ", ".join(f"`{name}`" for name in printable) or "no name"
