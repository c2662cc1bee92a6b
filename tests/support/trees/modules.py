"""Kernel modules that were built and signed in a tree, which each machine does with its own key."""

from pathlib import Path

_MAGIC = b"~Module signature appended~\n"
_INFO = 12
"""Bytes before the magic; the last four are the signature's length (`module_signature.h`)."""


def drop_signatures(root: Path) -> None:
    """Take the signatures from what dkms built."""
    for module in root.glob("usr/lib/modules/*/updates/dkms/*.ko"):
        data = module.read_bytes()
        if data.endswith(_MAGIC):
            end = len(data) - len(_MAGIC)
            length = int.from_bytes(data[end - 4 : end], "big")
            module.write_bytes(data[: end - _INFO - length])
