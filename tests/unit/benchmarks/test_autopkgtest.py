"""The comparison of tests of Debian packages names what is worse than in LXC, and hides nothing."""

from pathlib import Path

from benchmarks.outcomes import Outcome, Outcomes, draw, failed, keep, load, read, unmatched

SUMMARY = """\
one                  PASS
two                  FAIL stderr: a | b
three                SKIP Test requires machine-level isolation
"""
REVERTS = {"oven": 0.5, "lxc": 2.0}
GOOD = Outcome(0, {"all": "PASS"})
BROKEN = Outcome(16, {})


def both(ours: Outcome, theirs: Outcome) -> dict[str, Outcome]:
    return {"oven": ours, "lxc": theirs}


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
        Outcomes(
            {
                "sed": both(GOOD, Outcome(4, {"all": "FAIL"})),
                "cron": both(
                    Outcome(6, read(SUMMARY)), Outcome(2, {"four": "PASS", "three": "SKIP"})
                ),
            },
            REVERTS,
        )
    )
    assert "0 PASS in both, 1 SKIP in both, 0 FLAKY in both, 0 FAIL in both" in table
    assert "passes with LXC and not with Oven:\n`four` of cron.\n" in table
    assert "- cron: Oven did not get to `four`\n- cron: LXC did not get to `one`, `two`\n" in table
    assert "| cron | `two` | FAIL stderr: a \\| b | did not run |\n" in table
    assert "| cron | `four` | did not run | PASS |\n" in table
    assert "| sed | `all` | PASS | FAIL |\n" in table
    assert "| seconds per revert | 0.50 | 2.00 |\n" in table


def test_a_testbed_that_broke_is_no_equal() -> None:
    table = draw(Outcomes({"sed": both(GOOD, BROKEN), "at": both(BROKEN, BROKEN)}, REVERTS))
    assert "- at: the testbed of Oven broke (status 16)\n" in table
    assert "- at: the testbed of LXC broke (status 16)\n" in table
    assert "- sed: the testbed of LXC broke (status 16)\n- sed: LXC did not get to `all`\n" in table
    assert "| at | `none` | did not run | did not run |\n" in table


def test_a_testbed_that_broke_half_way_is_named() -> None:
    assert list(unmatched(both(GOOD, Outcome(16, GOOD.tests)))) == [
        "the testbed of LXC broke (status 16)"
    ]


def test_no_test_at_all_is_named() -> None:
    assert "LXC ran no test (status 8)" in list(unmatched(both(GOOD, Outcome(8, {}))))


def test_what_both_tell_of_is_compared() -> None:
    assert list(unmatched(both(GOOD, GOOD))) == []
    assert "Not compared" not in draw(Outcomes({"sed": both(GOOD, GOOD)}, REVERTS))


def test_a_run_of_some_packages_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "autopkgtest.json"
    first = load(file)
    first.reverts = REVERTS
    first.packages["sed"] = both(GOOD, GOOD)
    keep(first, file)
    second = load(file)
    second.packages["at"] = both(GOOD, BROKEN)
    keep(second, file)
    assert load(file) == Outcomes({"sed": both(GOOD, GOOD), "at": both(GOOD, BROKEN)}, REVERTS)
    table = (tmp_path / "autopkgtest.md").read_text()
    assert "| at | `all` | PASS | did not run |\n| sed | `all` | PASS | PASS |\n" in table
    assert sorted(one.name for one in tmp_path.iterdir()) == ["autopkgtest.json", "autopkgtest.md"]


def test_a_test_with_a_flaw_says_which() -> None:
    header = Outcome(4, {"check-significant-header": "FAIL non-zero exit status 1"})
    table = draw(Outcomes({"cron": both(header, header)}, REVERTS))
    assert "- `check-significant-header` of cron has an editor that " in table
