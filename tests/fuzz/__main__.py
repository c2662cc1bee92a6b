"""Tries each target for a while, one process after the other, and says what was found."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[!_]*.py"))

# Seconds that an input may take, and MB of memory that the whole process may.
LIMITS = ("-timeout=10", "-rss_limit_mb=512")


def main(words: list[str]) -> int:
    """Take `[TARGET] [SECONDS]`; end with 1 when something was found."""
    seconds = int(words.pop()) if words and words[-1].isdecimal() else 60
    if set(words) - set(TARGETS):
        print(f"there is no such target; there are: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    bad = [name for name in words or TARGETS if not _is_sound(name, seconds)]
    print(f"something was found in {', '.join(bad)}" if bad else "nothing was found")
    return 1 if bad else 0


def _is_sound(name: str, seconds: int) -> bool:
    print(f"{name}: {seconds} seconds", flush=True)
    home = CHECKOUT / "cache/fuzz" / name
    found, log = home / "found", home / "log"
    # Only what this run finds counts; what it has learned is kept for the next one.
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    argv = ["nice", "-n", "19", sys.executable, "-m", "tests.fuzz.drive", name, str(home)]
    with tempfile.TemporaryDirectory(prefix="oven-fuzz.") as folder, log.open("wb") as out:
        place = os.environ | {"TMPDIR": folder, "OVEN_HOME": folder}
        done = subprocess.run(
            [*argv, f"-max_total_time={seconds}", *LIMITS],
            cwd=CHECKOUT, env=place, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    kept = sorted(found.iterdir())
    for path in kept:
        print(f"  {path.relative_to(CHECKOUT)}", flush=True)
    if done.returncode and not kept:
        print(f"  it ended with {done.returncode}: see {log.relative_to(CHECKOUT)}", flush=True)
    return not kept and done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
