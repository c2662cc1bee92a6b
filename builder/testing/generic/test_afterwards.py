"""What is there to see once all has been done with an instance."""

from builder.testing.appliance import Appliance
from builder.testing.container import Instance
from builder.testing.outside import attempts, names
from builder.testing.rig import Rig


def test_nobody_called(instance: Instance, appliance: Appliance, rig: Rig) -> None:
    """It asks for no host that nobody has named, and tries to reach none."""
    asked = names(rig.questions.asked_by(*instance.facts["addresses"]), rig.network)
    if rig.world:
        asked = [name for name in asked if not rig.world.names.knows(name)]
    problems = [f"it asks for {name}" for name in appliance.not_allowed("hosts", asked)]
    if count := attempts(instance):
        problems.append(f"it has tried {count} times to reach beyond its network")
    assert not problems, "\n".join(problems)


def test_journal(instance: Instance, appliance: Appliance) -> None:
    """Its journal has no errors."""
    errors = appliance.not_allowed("journal", instance.journal(priority="err"))
    assert not errors, "\n".join(errors)
