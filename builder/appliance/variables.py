"""Variables: what a recipe's templates and scripts see."""

from collections.abc import Mapping

from builder.model.interface import Json
from builder.model.value import Value


class Variables(Value, frozen=True, kw_only=True):
    """All that a template may see."""

    parameters: dict[str, Json]
    template: dict[str, str]
    """`name` and `summary`."""
    base: dict[str, str]
    """`distro`, `suite` and `arch`."""

    def names(self) -> list[str]:
        """Give every name as a template writes it."""
        groups: Mapping[str, Mapping[str, object]] = {
            "parameters": self.parameters,
            "template": self.template,
            "base": self.base,
        }
        return [f"{group}.{name}" for group, values in groups.items() for name in sorted(values)]
