"""Secrets: made for one instance, by libraries that are made for that."""

import secrets
import string
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from builder.model.interface import Interface, SecretSpec

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_LETTERS = string.ascii_letters + string.digits
"""What any program takes between quotes or without; 24 of them have 142 bits."""
_USUAL = 24
_LASTS = timedelta(days=3650)
"""A certificate that nobody trusts by its date; what replaces it is a matter of the appliance."""


def made(
    interface: Interface, kept: Mapping[str, str], names: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Give all secrets of an instance: those that it has, and new ones for the rest.

    `names` are those in the certificate of each secret that is one.
    """
    found = {}
    for name, spec in interface.secrets.items():
        found[name] = kept[name] if name in kept else make(spec, names.get(name, ()))
    return found


def generated(kind: str) -> str:
    """Make the answer to a parameter that nobody has answered."""
    return _password(_USUAL) if kind == "password" else secrets.token_hex(_USUAL)


def make(spec: SecretSpec, names: Sequence[str] = ()) -> str:
    """Make a secret, as text."""
    if spec.kind == "password":
        return _password(spec.length)
    if spec.kind == "random":
        return secrets.token_hex(spec.length)
    if spec.kind == "ed25519":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _pem(Ed25519PrivateKey.generate())
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=spec.bits)
    return _pem(key) + (_certificate(key, names) if spec.kind == "x509-selfsigned" else "")


def _password(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _pem(key: "Ed25519PrivateKey | RSAPrivateKey") -> str:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _certificate(key: "RSAPrivateKey", names: Sequence[str]) -> str:
    """Sign a certificate for some names by its own key (RFC 5280)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    names = [name for name in names if name] or ["localhost"]
    # The common name holds 64 characters; what counts are the alternative names (RFC 6125).
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.now(UTC)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + _LASTS)
        .add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _general(name: str) -> "x509.GeneralName":
    import ipaddress

    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.isascii() else name)
