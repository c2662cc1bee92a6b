"""The targets of `./check --fuzz` work, and the quickest part of what it does is done each time."""

import contextlib
import importlib
import random

import pytest

from builder.model.errors import OvenError
from tests.fuzz.__main__ import TARGETS
from tests.support.needs import needs

pytestmark = needs("root")

TIMES = 20
"""Changed inputs for each seed; a run of the fuzzer tries some 100,000."""


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_damaged_is_refused(name: str) -> None:
    """Sound inputs, and the same with bytes changed, cut out and put in: refused, or read."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    refusals = (OvenError, *getattr(target, "REFUSALS", ()))
    chance = random.Random(name)
    for seed in target.seeds():
        for data in (seed, *(_damaged(seed, chance) for _ in range(TIMES))):
            with contextlib.suppress(*refusals):
                target.play(data)


def _damaged(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        changed[at : at + chance.choice((0, 1, 1, 9))] = chance.randbytes(chance.choice((0, 1, 3)))
    return bytes(changed)
