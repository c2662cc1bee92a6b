"""What is there to see once all has been done with an instance."""

import re

from builder.testing.appliance import Appliance
from builder.testing.container import Instance

_ALLOWED = "journal-allowed"
"""In the appliance's folder of tests: a regular expression a line, `#` begins a remark."""


def test_journal(instance: Instance, appliance: Appliance) -> None:
    """Its journal has no errors."""
    file = appliance.tests / _ALLOWED
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    allowed = [line for line in lines if line.strip() and not line.startswith("#")]
    errors = [line for line in instance.journal(priority="err")
              if not any(re.search(pattern, line) for pattern in allowed)]  # fmt: skip
    assert not errors, "\n".join(errors)
