"""Every key that scripts are told of containers is in the reference."""

from pathlib import Path

import msgspec
import pytest

from builder.cli.facts import facts
from builder.runtime import memory, samples, usage
from builder.runtime.container import Autostart, Bind, Interface, Limits
from builder.runtime.show import Row, Summary
from tests.unit.test_spec import CONTAINER

TEXT = (Path(__file__).parents[2] / "docs/reference/containers.md").read_text(encoding="utf-8")

KINDS = (
    Row, Limits, Interface, Bind, Autostart, usage.Usage, usage.Memory, usage.Processor,
    usage.Traffic, usage.Count, usage.Cable, usage.Space, usage.Pressure, usage.Stall, usage.Rates,
    samples.Sample, memory.Report, memory.Share, memory.Template,
)  # fmt: skip

KEYS = {field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind)}
KEYS |= set(facts(Summary(container=CONTAINER, status="stopped"), None))


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_key_is_described(key: str) -> None:
    assert f"`{key}`" in TEXT
