"""An instance is up, and is what its recipe says."""

import pytest

from builder.testing.appliance import Appliance
from builder.testing.container import Instance
from builder.testing.ports import open_ports


def test_ready(instance: Instance) -> None:
    """It boots and is ready."""
    assert not instance.problem, instance.problem


def test_no_failed_unit(instance: Instance) -> None:
    """No unit has failed."""
    failed = instance.exec("systemctl", "--failed", "--plain", "--no-legend").splitlines()
    assert not failed, "failed: " + ", ".join(line.split()[0] for line in failed)


def test_ports(instance: Instance, appliance: Appliance) -> None:
    """The ports that it declares are open, and no others."""
    declared = {f"{one.port}/{one.protocol}" for one in appliance.ports}
    found = open_ports(instance.exec("ss", "--no-header", "-lntup"))
    problems = [f"{port} is declared, and nobody listens" for port in sorted(declared - set(found))]
    problems += [f"{port} is open ({who}), and no [[port]] says so" for port, who in found.items()
                 if port not in declared]  # fmt: skip
    assert not problems, "\n".join(problems)


def test_units(instance: Instance, appliance: Appliance) -> None:
    """Units are enabled, disabled and masked as its recipe says."""
    if not (wanted := appliance.units):
        pytest.skip("its recipe says nothing of units")
    said = instance.attempt("systemctl", "is-enabled", *wanted).stdout.decode().split()
    assert len(said) == len(wanted), f"systemctl does not know all of {', '.join(wanted)}"
    found = zip(wanted.items(), said, strict=True)
    wrong = [f"{unit} is {word}, not {want}" for (unit, want), word in found if not _is(word, want)]
    assert not wrong, "\n".join(wrong)


def _is(word: str, wanted: str) -> bool:
    if wanted == "disabled":  # one that nobody can enable is disabled as well
        return word in {"disabled", "static", "indirect", "masked", "not-found"}
    return word.removesuffix("-runtime") == wanted or (wanted == "enabled" and word == "alias")
