"""Amounts: what people write, the number that comes out, and what is said of anything else."""

import msgspec
import pytest

from builder.model import amounts
from builder.model.amounts import Amount
from builder.model.errors import RecipeError
from builder.model.numbers import LARGEST
from builder.model.settings import Settings

SIZES = {
    "0": 0, "00": 0, "1": 1, "512": 512, "1K": 1 << 10, "512M": 512 << 20, "1G": 1 << 30,
    "2T": 2 << 40, "1k": 1 << 10, "20g": 20 << 30, "2GiB": 2 << 30, "2gib": 2 << 30, "1MB": 1 << 20,
    "7B": 7, "7iB": 7, "1.5G": 3 << 29, "0.5K": 512, "0.0001K": 0, "1.000001M": 1048577,
    "999999999999999": 10**15 - 1, "4194303T": 4194303 << 40, "4194304T": LARGEST,
    "999999999999999T": (10**15 - 1) << 40,
}  # fmt: skip
RATES = {
    "1K": 1024, "10M": 10 << 20, "1.5M": 3 << 19, "1g": 1 << 30, "2MiB": 2 << 20, "4096": 4096,
    "8.192kbit": 1024, "100Mbit": 12_500_000, "1gbit": 125_000_000, "8192bit": 1024,
    "1T": 1 << 40, "1TBIT": 125_000_000_000,
}  # fmt: skip
SPANS = {
    "1s": 1, "30m": 1800, "12h": 43200, "1d": 86400, "2w": 1209600, "1.5h": 5400, "01d": 86400,
    "999999999w": 999_999_999 * 604_800,
}  # fmt: skip
COUNTS = {"1": 1, "007": 7, "10000": 10000, str(LARGEST): LARGEST, "0" * 30 + "1": 1}
READ = (
    (amounts.size(), SIZES), (amounts.rate(1 << 10, 1 << 40), RATES), (amounts.span(), SPANS),
    (amounts.count(1), COUNTS),
)  # fmt: skip

GARBAGE = (
    "", " ", "x", "M", "-1", "+1", "1 K", " 1", "1\n", "1e3", "0x10", "1_0", "1,5", "1.", ".5",
    "1.2.3", "1KK", "1Ki", "1P", "50%", "nan", "inf", "none", "1\u0660", "\u0661M",
    "5\u212a", "1K\u0131B", "1" * 5000, "1." + "1" * 5000, "1\0",
)  # fmt: skip
"""Among it the sign for kelvin, a dotless i and Arabic digits: Python takes them for K, i and 1."""


@pytest.mark.parametrize(
    ("amount", "text", "expected"),
    [(amount, text, value) for amount, rows in READ for text, value in rows.items()],
)
def test_amounts_are_read(amount: Amount, text: str, expected: int) -> None:
    assert amount.read(text) == expected


@pytest.mark.parametrize("amount", [amount for amount, _ in READ], ids=lambda one: one.kind)
@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: ascii(text[:12]))
def test_garbage_is_refused(amount: Amount, text: str) -> None:
    with pytest.raises(RecipeError) as found:
        amount.read(text, "--it")
    assert found.value.problem.startswith(f"`--it {text}` is not {amount.kind}")


@pytest.mark.parametrize(
    ("amount", "text", "problem"),
    [
        (amounts.size(), "5X", "`5X` is not a size"),
        (amounts.size(1 << 20, LARGEST), "x", "`x` is not a size of at least 1M"),
        (amounts.size(1 << 20), "1K", "`1K` is not a size of at least 1M"),
        (amounts.size(16 << 20), "1M", "`1M` is not a size of at least 16M"),
        (
            amounts.size(1 << 20, LARGEST),
            "4194305T",
            "`4194305T` is not a size from 1M to 4194304T",
        ),
        (amounts.rate(1 << 10, 1 << 40), "8kbit", "`8kbit` is not a rate from 1K to 1T"),
        (amounts.rate(1 << 10, 1 << 40), "2T", "`2T` is not a rate from 1K to 1T"),
        (amounts.span(), "0h", "`0h` is not a span of time of at least 1s"),
        (amounts.span(), "1M", "`1M` is not a span of time of at least 1s"),
        (amounts.count(1, 10000), "10001", "`10001` is not a number from 1 to 10000"),
        (amounts.count(1024), "1", "`1` is not a number of at least 1024"),
        (
            amounts.count(1),
            str(LARGEST + 1),
            f"`{LARGEST + 1}` is not a number from 1 to {LARGEST}",
        ),
    ],
)
def test_what_is_allowed_is_said(amount: Amount, text: str, problem: str) -> None:
    with pytest.raises(RecipeError) as found:
        amount.read(text)
    assert found.value.problem == problem


def test_it_is_said_how_to_write_it() -> None:
    for amount, hint in (
        (amounts.size(), "write it as `512M` or `2G`, or `none`"),
        (amounts.count(1), "write a number, or `none`"),
    ):
        with pytest.raises(RecipeError) as found:
            amount.read("x", otherwise="none")
        assert found.value.hint == hint


@pytest.mark.parametrize("text", ["0.01", "1", "1.5", "1e2", "1048576"])
def test_shares_of_processors_are_read(text: str) -> None:
    assert amounts.processors(text) == float(text)


@pytest.mark.parametrize("text", ["", "0", "0.001", "-1", "nan", "inf", "1048577", "1,5", "50%"])
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"`--cpus .*` is not a number of at least 0\.01"):
        amounts.processors(text, "--cpus")


@pytest.mark.parametrize("text", [*SIZES, *GARBAGE], ids=lambda text: ascii(text[:12]))
def test_settings_take_the_same_sizes(text: str) -> None:
    given = {"cache": {"size": text}}
    if text in SIZES:
        assert msgspec.convert(given, Settings).cache.size == text
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(given, Settings)


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (1000, "1000"), (16 << 20, "16M")])
def test_sizes_are_written_as_they_are_typed(size: int, text: str) -> None:
    assert amounts.brief(size) == text
    assert amounts.size().read(text) == size
