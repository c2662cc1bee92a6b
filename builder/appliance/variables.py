"""Variables: what a recipe's templates and scripts see."""

from collections.abc import Mapping
from typing import Any

from builder.model.interface import Json
from builder.model.value import Value


class Variables(Value, frozen=True, kw_only=True):
    """All that a template may see."""

    parameters: dict[str, Json]
    template: dict[str, str]
    """`name` and `summary`."""
    base: dict[str, str]
    """`distro`, `suite` and `arch`."""

    def groups(self) -> dict[str, Mapping[str, Any]]:
        """Give all values as a template writes them: `GROUP.NAME`."""
        return {"parameters": self.parameters, "template": self.template, "base": self.base}

    def names(self) -> list[str]:
        """Give every name as a template writes it."""
        found = self.groups().items()
        return [f"{group}.{name}" for group, values in found for name in sorted(values)]


class InstanceVariables(Variables, frozen=True, kw_only=True):
    """All that a template of an instance's file may see."""

    parameters: dict[str, Any]
    """None for one without a value."""
    secrets: dict[str, str]
    instance: dict[str, str]
    """`name` and `hostname`."""

    def groups(self) -> dict[str, Mapping[str, Any]]:
        """Give all values as a template writes them: `GROUP.NAME`."""
        return {**super().groups(), "secrets": self.secrets, "instance": self.instance}
