"""Nobody who has one instance knows a secret of another one."""

from builder.testing.container import Instance
from builder.testing.secrets import shared


def test_two_instances(instance: Instance, twin: Instance) -> None:
    """Two instances share no secret."""
    assert not (alike := shared(instance, twin)), "both have: " + ", ".join(alike)
