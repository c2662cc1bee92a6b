"""What a stage may use; nothing in here carries data that could change a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from builder.host.network.downloads import Net
from builder.host.programs import Runner
from builder.model.progress import Reporter
from builder.model.value import Value
from builder.store import Store


class Witness(Protocol):
    """Is told what each stage was given, and what it gave."""

    def __call__(self, stage: str, slot: str, inputs: Value, result: Value, /) -> None:
        """Take note."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The store, the host's programs, the network, and somebody to tell."""

    store: Store
    run: Runner
    net: Net
    report: Reporter
    jobs: int
    """How many things may be done at once."""
    witness: Witness | None = None
    """Sees what came out of each stage; `oven prove` compares two builds by it."""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What recipes' scripts were given to see. It is in no key, so it must not change a result."""
