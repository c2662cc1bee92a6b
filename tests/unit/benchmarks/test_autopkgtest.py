"""The comparison of tests of Debian packages names what is worse than in LXC, and hides nothing."""

from benchmarks.autopkgtest import draw, failed, read

SUMMARY = """\
one                  PASS
two                  FAIL stderr: a | b
three                SKIP Test requires machine-level isolation
"""


def test_a_summary_is_read_with_reasons() -> None:
    assert read(SUMMARY) == {
        "one": "PASS",
        "two": "FAIL stderr: a | b",
        "three": "SKIP Test requires machine-level isolation",
    }


def test_what_passes_there_has_to_pass_here() -> None:
    theirs = {"one": "PASS", "two": "PASS (superficial)", "three": "PASS", "four": "FAIL badpkg"}
    assert failed({"one": "PASS", "two": "FAIL", "four": "FAIL badpkg"}, theirs) == ["two", "three"]


def test_a_test_that_did_not_run_has_a_row() -> None:
    table = draw(
        {
            "cron": (read(SUMMARY), {"four": "PASS", "three": "SKIP"}),
            "sed": ({"all": "PASS"}, {"all": "FAIL"}),
        },
        {"oven": 0.5, "lxc": 2.0},
    )
    assert "0 PASS in both, 1 SKIP in both, 0 FAIL in both" in table
    assert "passes with LXC and not with Oven:\n`four` of cron.\n" in table
    assert "| cron | `two` | FAIL stderr: a \\| b | did not run |\n" in table
    assert "| cron | `four` | did not run | PASS |\n" in table
    assert "| sed | `all` | PASS | FAIL |\n" in table
    assert "| seconds per revert | 0.50 | 2.00 |\n" in table
