"""One run of tests: the generic set and the appliance's own, by pytest with our fixtures."""

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.model.errors import HostError, RecipeError
from builder.testing.appliance import Appliance
from builder.testing.rig import Rig, rig

_HERE = Path(__file__).parent
GENERIC = _HERE / "generic"
"""Tests of every appliance."""
FIRST = ("boot", "answers", "secrets", "life")
"""Those that run before the appliance's own, in this order."""
LAST = ("afterwards",)


@dataclass(frozen=True)
class Wish:
    """What whoever calls wants of a run."""

    arguments: Sequence[str] = ()
    """For pytest."""
    junit: Path | None = None
    keep: bool = False
    logs: Path = Path()
    """An empty folder of our own, which is made when something fails."""


def test(appliance: Appliance, wish: Wish, say: Callable[[str], None]) -> int:
    """Run the tests: 0 when all pass, and 1 otherwise; an OvenError when they cannot be run."""
    # SIGTERM would be one more failure to pytest, and it would go on; Ctrl-C ends it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    sys.dont_write_bytecode = True  # nothing is left in the author's folder
    with rig(appliance, wish.logs, keep=wish.keep) as one:
        code = _by_pytest(appliance, wish, one, say)
    for kept in one.kept:
        say(f"kept {kept.name}: look around with `oven enter {kept.name}`")
    if one.kept:
        names = " ".join(kept.name for kept in one.kept)
        say(f"then `oven destroy --force {names} && oven network rm {one.network}`")
    return code


def _by_pytest(appliance: Appliance, wish: Wish, one: Rig, say: Callable[[str], None]) -> int:
    import pytest

    from builder.testing import fixtures
    from builder.testing.report import Lines

    own = [appliance.tests] if appliance.tests.is_dir() else []
    files = [*map(_generic, FIRST), *own, *map(_generic, LAST)]
    words = ["-c", _HERE / "pytest.ini", "--rootdir", appliance.folder, *wish.arguments]
    words += ["--junitxml", wish.junit.absolute()] if wish.junit else []
    lines = Lines(say, GENERIC, appliance.name)
    plugins = [fixtures.Given(appliance, one), fixtures, lines]
    code = pytest.main([*map(str, words), *map(str, files)], plugins=plugins)
    if lines.interrupted:
        raise KeyboardInterrupt
    if code == pytest.ExitCode.USAGE_ERROR:
        raise RecipeError("pytest does not take these arguments")
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RecipeError("there is no such test", hint="`--collect-only` lists all")
    say(lines.summary())
    if wish.logs.exists():
        say(f"what the containers of failed tests said is in {wish.logs}")
    return 0 if code == pytest.ExitCode.OK else 1


def _generic(name: str) -> Path:
    return GENERIC / f"test_{name}.py"


def need_pytest() -> None:
    """HostError where there is no pytest."""
    try:
        import pytest  # noqa: F401
    except ImportError as error:
        raise HostError(
            "tests are run by pytest, which is not installed",
            hint="`pip install 'ovenvz[test]'` has it",
        ) from error
