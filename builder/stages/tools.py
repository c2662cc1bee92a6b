"""What a stage may use; nothing in here carries data that could change a result."""

from dataclasses import dataclass

from builder.host.net import Net
from builder.host.process import Runner
from builder.model.progress import Reporter
from builder.store import Store


@dataclass(frozen=True, slots=True)
class Tools:
    """The store, the host's programs, the network, and somebody to tell."""

    store: Store
    run: Runner
    net: Net
    report: Reporter
    jobs: int
    """How many things may be done at once."""
