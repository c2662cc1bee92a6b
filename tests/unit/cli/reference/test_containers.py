"""Every key that scripts are told of containers is in the reference."""

import msgspec
import pytest

from builder.cli.inspect.facts import facts
from builder.runtime.inspect import samples, shared_memory
from builder.runtime.inspect.show import ContainerRow, Summary
from builder.runtime.record.container import Autostart, Bind, Interface, Limits
from builder.runtime.resources import usage
from tests.support.containers.oci import CONTAINER
from tests.support.oven import CHECKOUT

TEXT = (CHECKOUT / "docs/reference/containers.md").read_text(encoding="utf-8")

KINDS = (
    ContainerRow, Limits, Interface, Bind, Autostart, usage.Usage, usage.Memory, usage.Processor,
    usage.Traffic, usage.Count, usage.Cable, usage.Space, usage.Pressure, usage.Stall, usage.Rates,
    samples.Sample, shared_memory.Report, shared_memory.Share, shared_memory.TemplateMemory,
)  # fmt: skip

KEYS = {field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind)}
KEYS |= set(facts(Summary(container=CONTAINER, status="stopped", hostname="web"), None))


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_key_is_described(key: str) -> None:
    assert f"`{key}`" in TEXT
