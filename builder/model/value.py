"""Frozen values with one canonical encoding, and digests of them."""

from typing import NewType

import msgspec

Digest = NewType("Digest", str)
"""`sha256:` and 64 hex digits, as OCI writes a digest."""


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A frozen, typed value; whatever is hashed or written to disk is one of these."""


def canonical(value: object) -> bytes:
    """Encode a value as JSON with sorted keys: equal values give equal bytes, anywhere."""
    return msgspec.json.encode(value, order="sorted")


def digest_of(value: object) -> Digest:
    """Hash the canonical encoding of a value."""
    return digest_of_bytes(canonical(value))


def digest_of_bytes(data: bytes) -> Digest:
    """Hash bytes as they are."""
    import hashlib  # brings in OpenSSL, which most commands never need

    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def hex_of(digest: Digest) -> str:
    """Give the 64 hex digits of a digest, for file names."""
    return digest.removeprefix("sha256:")
