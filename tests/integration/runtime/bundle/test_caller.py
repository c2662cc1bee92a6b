"""A container is the same whoever starts it: nothing of the caller reaches it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.runtime.lifecycle import create
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

DEAF = """
import os, signal, sys
for number in signal.valid_signals() - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execvp(sys.argv[1], sys.argv[1:])
"""
CALLERS = {
    "plain": (),
    "nice and on one processor": ("nice", "-n", "15", "taskset", "-c", "0", "ionice", "-c", "3"),
    "a batch job": ("chrt", "--batch", "0", "choom", "-n", "500", "--"),
    "tight limits": (
        "prlimit", "--fsize=1000000", "--core=10000", "--nofile=500", "--nproc=3000",
        "--stack=1000000", "--memlock=1000",
    ),
    "Perl that waits for nobody": ("perl", "-e", "$SIG{CHLD} = 'IGNORE'; exec @ARGV"),
    "deaf to signals": (
        sys.executable, "-c",
        DEAF,
    ),
    "another personality": ("setarch", "-R"),
    "daemon": ("setsid", "--wait", "env", "-C", "/proc", "sh", "-c", 'umask 777; exec "$@"', "sh"),
}  # fmt: skip
# The number of open files of `exec` is what runc makes of it: before Go 1.20 that is now the soft
# limit and now the hard one.
LOOK = r"""
cat /proc/1/limits | tail -n +2
for name in oom_score_adj coredump_filter personality timerslack_ns; do cat /proc/1/$name; done
grep -E '^(Umask|Sig(Blk|Ign)|Cpus_allowed|NoNewPrivs|Cap)' /proc/1/status
chrt -p 1; ionice -p 1; readlink /proc/1/cwd; cut -d' ' -f 18,19 /proc/1/stat
tr '\0' '\n' </proc/1/environ | grep -v container_uuid
umask; ulimit -a | grep -v nofiles
grep -E '^(Umask|Sig(Blk|Ign))' /proc/self/status
"""


def seen_by(rig: Rig, words: tuple[str, ...]) -> str:
    oven = Oven(rig.places.data)
    create.create(rig.places, rig.container())
    started = subprocess.run(
        [*words, *oven.line("start", "test")],
        cwd=oven.cwd, env=oven.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    looked = subprocess.run(
        [*words, *oven.line("exec", "test", "--", "sh", "-c", LOOK)],
        cwd=oven.cwd, env=oven.environment, capture_output=True,
    )  # fmt: skip
    said = text(looked.stdout + looked.stderr)
    assert looked.returncode == 0, said
    oven("destroy", "--force", "test")
    return said


@pytest.fixture
def usual(rig: Rig, tree: Path) -> str:
    for program in ("chrt", "ionice", "grep", "cut", "tr"):
        add_program(tree, program)
    return seen_by(rig, ())


@pytest.mark.parametrize("caller", [name for name in CALLERS if CALLERS[name]])
def test_nothing_of_the_caller_reaches_it(rig: Rig, usual: str, caller: str) -> None:
    assert "Max stack size            8388608" in usual
    words = CALLERS[caller]
    if caller == "tight limits" and not may_raise():
        words = (words[0], *(f"{word}:" for word in words[1:]))  # the soft ones alone
    assert seen_by(rig, words) == usual


def may_raise() -> bool:
    """Tell whether this machine lets root raise hard limits (CAP_SYS_RESOURCE)."""
    effective = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line
    )
    return bool(int(effective.split()[1], 16) & 1 << 24) and os.geteuid() == 0
