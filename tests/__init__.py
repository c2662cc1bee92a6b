"""Tests: `unit/` needs nothing, `integration/` a real kernel, `system/` a Debian mirror too."""
