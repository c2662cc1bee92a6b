"""Samples: containers looked at more than once, which tells how fast things go."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

from builder.host.places import Places
from builder.model.errors import NotFoundError
from builder.model.value import Value
from builder.runtime.inspect import show
from builder.runtime.record.container import Limits, load
from builder.runtime.resources import usage
from builder.runtime.resources.usage import Rates, Usage

FIRST = 0.5
"""Seconds before the first sample, which is a difference, or one would wait for it too long."""


class Sample(Value, frozen=True, kw_only=True):
    """A container at one moment; `use` is None of one that does not run."""

    name: str
    status: str
    limits: Limits
    """As they are kept."""
    use: Usage | None = None
    rates: Rates | None = None
    """Since the sample before; None of a container that was started meanwhile."""


Look = dict[str, tuple[int, Usage]]
"""The first process of each running container, and what the container uses."""


def samples(
    places: Places, names: Sequence[str] = (), delay: float = FIRST
) -> Generator[tuple[Sample, ...]]:
    """Sample the running containers, or those that are named, every `delay` seconds, for ever."""
    with _looking(places, names) as look:
        before = look()
        pause = min(delay, FIRST)
        while True:
            time.sleep(pause)
            after = look()
            found = (_sample(places, name, before, after) for name in sorted(set(names) or after))
            yield tuple(one for one in found if one is not None)
            before, pause = after, delay


@contextmanager
def _looking(places: Places, names: Sequence[str]) -> Iterator[Callable[[], Look]]:
    with usage.reader(places) as read:
        yield lambda: {
            name: (current.pid, read(name, current.pid))
            for name, current in show.running(places)
            if not names or name in names
        }


def _sample(places: Places, name: str, before: Look, after: Look) -> Sample | None:
    try:
        limits = load(places, name).limits
        status = show.row(places, name).status
    except NotFoundError:
        return None
    if name not in after:
        return Sample(name=name, status=status, limits=limits)
    pid, use = after[name]
    old_pid, old = before.get(name, (0, use))
    rates = usage.rates(old, use) if old_pid == pid else None
    return Sample(name=name, status=status, limits=limits, use=use, rates=rates)
