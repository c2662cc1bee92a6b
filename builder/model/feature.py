"""Features: what of the kernel a container may have beyond the usual."""

from typing import Literal

Feature = Literal["tun", "fuse", "kmsg", "nesting"]
"""Devices by name, and what containers in the container need."""
