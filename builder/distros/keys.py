"""Keys: what package files of a distribution must be signed with."""

from builder.model.value import Value


class Keys(Value, frozen=True, kw_only=True):
    """Keys that package files must be signed with, beside what a lock says of them."""

    data: bytes
    """A file of OpenPGP keys, as it is on this machine."""
    fingerprints: tuple[str, ...] = ()
    """Those of them that count; none means all."""
