"""What a person reads of tests: a line for each, and of what failed the reason."""

import inspect
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.model.visible import visible_lines

_MOST = 15
"""Lines of a reason; all of it is in the folder of logs."""
_MARGIN = 18
_OUR_OWN = ("AssertionError: ", "Failed: ", "builder.testing.verbs.UnexpectedError: ")


class Lines:
    """Tells of each test when it has ended; a plugin in place of pytest's own reporter."""

    def __init__(self, say: Callable[[str], None], generic: Path, name: str) -> None:
        self._say = say
        self._generic = generic
        self._name = name
        self._tests: dict[str, tuple[str, Path]] = {}
        """Of each test what it says of itself, and its file."""
        self._setups: dict[str, float] = {}
        self._heading = ""
        self._counts: Counter[str] = Counter()
        self._begun = time.monotonic()
        self.interrupted = False
        """Whether Ctrl-C has ended it."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take the place of pytest's own."""
        config.pluginmanager.unregister(name="terminalreporter")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember what a test says of itself."""
        self._tests[item.nodeid] = (sentence(item), item.path)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell of a file that cannot be read."""
        if report.failed:
            lines = report.longreprtext.splitlines()
            told = [line[1:].strip() for line in lines if line.startswith("E  ")] or lines[-3:]
            self._line("FAILED", "", f"{report.nodeid} cannot be read", "\n".join(told))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """List the tests, for `--collect-only`."""
        if session.config.getoption("collectonly"):
            for item in session.items:
                self._under(item.path)
                self._line("test", "", sentence(item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a test: once, unless it fails and taking its things away does so as well."""
        if report.passed and report.when != "call":
            self._setups[report.nodeid] = report.duration
            return
        word = "FAILED" if report.failed else "skipped" if report.skipped else "ok"
        text, file = self._tests[report.nodeid]
        if report.failed and report.when == "teardown":
            text = f"{text} (afterwards)"
        took = report.duration + self._setups.pop(report.nodeid, 0)
        self._under(file)
        self._line(word, f"{took:.1f} s", text, "" if report.passed else reason(report))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Take note of Ctrl-C; to pytest a file that cannot be read is such a one, too."""
        self.interrupted = excinfo.type is KeyboardInterrupt

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell of a mistake in pytest or a plugin."""
        self._say(str(excrepr))

    def summary(self) -> str:
        """Count all, such as `12 ok, 1 FAILED in 31.2 s`."""
        counts = [f"{self._counts[word]} {word}" for word in ("ok", "FAILED", "skipped")
                  if self._counts[word]]  # fmt: skip
        return f"{', '.join(counts) or 'no tests'} in {time.monotonic() - self._begun:.1f} s"

    def _under(self, file: Path) -> None:
        ours = self._generic in file.parents
        heading = "every appliance" if ours else self._name
        if heading != self._heading:
            self._say(heading)
            self._heading = heading

    def _line(self, word: str, took: str, text: str, why: str = "") -> None:
        self._counts[word] += 1
        self._say(visible_lines(f"  {word:<8}{took:>6}  {text}"))
        lines = why.splitlines()
        for line in lines[:_MOST]:
            self._say(visible_lines(f"{'':{_MARGIN}}{line}"))
        if len(lines) > _MOST:
            self._say(f"{'':{_MARGIN}}... {len(lines) - _MOST} more lines")


def sentence(item: pytest.Item) -> str:
    """Give the first sentence of a test's docstring, else its name as words."""
    found = inspect.getdoc(getattr(item, "function", None)) or ""
    said = " ".join(found.partition("\n\n")[0].split()).removesuffix(".")
    said = said.partition(". ")[0] or item.name.removeprefix("test_").replace("_", " ")
    of_many = getattr(item, "callspec", None)
    return f"{said} ({of_many.id})" if of_many else said


def reason(report: pytest.TestReport) -> str:
    """Say why a test has failed or was skipped, without the ways that led there."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext
    said = str(crash.message)
    for prefix in _OUR_OWN:
        said = said.removeprefix(prefix)
    # Whoever says what is wrong need not show how it was asked.
    told, _, asked = said.partition("\nassert ")
    return told if asked else said
