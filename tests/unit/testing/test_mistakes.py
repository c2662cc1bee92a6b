"""Answers that are made up to be wrong are wrong."""

import pytest

from builder.appliance.checking import mistakes
from builder.appliance.schema import document
from builder.model.interface import Interface, Parameter
from builder.testing.mistakes import wrong


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter(),
        Parameter(format="hostname"),
        Parameter(format="email"),
        Parameter(format="ipv6"),
        Parameter(min_length=8, max_length=12),
        Parameter(enum=("a", "b")),
        Parameter(default=3, minimum=1, maximum=9),
        Parameter(default=3, enum=(3, 4)),
        Parameter(default=True),
        Parameter(type="array", min_items=1),
        Parameter(type="object"),
    ],
)
def test_wrong(parameter: Parameter) -> None:
    schema = document("one", Interface(parameters={"a": parameter}))
    made = list(wrong(parameter))
    assert made
    assert [value for value in made if not mistakes(schema, {"a": value})] == []
