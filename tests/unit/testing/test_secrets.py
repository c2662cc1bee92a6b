"""Words that look random, and those that do not."""

import pytest

from builder.testing.secrets import words


@pytest.mark.parametrize(
    "word",
    ["q9X2mB7vK4tR1zLp", "0fA3kQ9zT1mB7vK4tR1zLp2W", "a" * 16 + "0123456789abcdef"],
)
def test_secrets(word: str) -> None:
    assert words(f"key = {word}\nother = 1\n") == {word}


@pytest.mark.parametrize(
    "text",
    [
        "/usr/local/sbin:/usr/local/bin",
        "TimeoutStartSec=infinity",
        "ConditionPathExists=/etc/notes/notes.conf",
        "PermitRootLogin=prohibit-password",
        "daemon:*:19000:0:99999:7:::",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
        "2026-11-30T22:45:38Z",
        "short1Aa",
    ],
)
def test_others(text: str) -> None:
    assert words(text) == set()


def test_certificates_are_public() -> None:
    key = "MHcCAQEEIIsr8sT3n2kX0pQv5aZ7"
    text = f"-----BEGIN CERTIFICATE-----\n{key}\n-----END CERTIFICATE-----\n"
    assert words(text) == set()
    assert words(text + key) == {key}
