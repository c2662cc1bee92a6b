"""Secrets: each kind is what it says, and no two are equal."""

import ipaddress
import re
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from builder.appliance import secrets
from builder.model.interface import Interface, SecretKind, SecretSpec

KINDS: list[SecretKind] = ["password", "random", "rsa", "ed25519", "x509-selfsigned", "dkim"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_are_equal(kind: SecretKind) -> None:
    assert secrets.make(SecretSpec(kind=kind)) != secrets.make(SecretSpec(kind=kind))


def test_a_password_needs_no_quoting() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{40}", secrets.make(SecretSpec(kind="password", length=40)))
    assert re.fullmatch(r"[A-Za-z0-9]{24}", secrets.generated("password"))


def test_random_bytes() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", secrets.make(SecretSpec(kind="random", length=32)))
    assert re.fullmatch(r"[0-9a-f]{48}", secrets.generated("random"))


def test_keys() -> None:
    for kind, of, size in (("rsa", RSAPrivateKey, 3072), ("dkim", RSAPrivateKey, 3072)):
        text = secrets.make(SecretSpec(kind=kind, bits=3072))  # type: ignore[arg-type]
        key = serialization.load_pem_private_key(text.encode(), None)
        assert isinstance(key, of)
        assert key.key_size == size
    text = secrets.make(SecretSpec(kind="ed25519"))
    assert isinstance(serialization.load_pem_private_key(text.encode(), None), Ed25519PrivateKey)


def test_a_certificate_is_for_its_names() -> None:
    names = ("mail.example.org", "192.0.2.1", "2001:db8::1", "m\u00fcller.example")
    text = secrets.make(SecretSpec(kind="x509-selfsigned"), names).encode()
    key = serialization.load_pem_private_key(text, None)
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT") :])
    assert certificate.public_key() == key.public_key()
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["mail.example.org", "xn--mller-kva.example"]
    assert found.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
    ]
    assert certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc


def test_a_certificate_for_nothing_is_for_localhost() -> None:
    text = secrets.make(SecretSpec(kind="x509-selfsigned"), ["", ""]).encode()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT") :])
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["localhost"]


def test_what_is_there_stays() -> None:
    spec = SecretSpec(kind="password")
    interface = Interface(secrets={"a": spec, "b": spec})
    first = secrets.made(interface, {"gone": "x"}, {})
    assert list(first) == ["a", "b"]
    assert secrets.made(interface, first, {}) == first
    assert secrets.made(interface, {"a": first["a"]}, {})["b"] != first["b"]
