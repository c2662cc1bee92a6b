"""Work inside a container beside the same work on the host, by sysbench of one template."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.bench import FOLDER, OVEN
from benchmarks.runtimes import HOME, NAME, quiet

RECIPE = """\
from = "debian-bookworm"

[template]
name = "sysbench"
summary = "Debian 12 with sysbench"

[packages]
install = ["sysbench"]
"""
SECONDS = 2
_FILES = "fileio --file-total-size=256M --file-num=16 --file-test-mode=rndrw"
_UNSYNCED = f"{_FILES} --file-fsync-freq=0"
"""What databases and caches do in between: nothing waits for the disk."""
_READS = r"reads/s:\s+([\d.]+)"
WORK: Mapping[str, tuple[str, str, str]] = {
    "CPU": ("cpu", r"events per second:\s+([\d.]+)", "/tmp"),
    "memory": ("memory --memory-total-size=1T", r"\(([\d.]+) MiB/sec\)", "/tmp"),
    "files": (_FILES, _READS, "/var/tmp"),
    "files on a volume": (_FILES, _READS, "/srv"),
    "files never synced": (_UNSYNCED, _READS, "/var/tmp"),
    "files never synced, on a volume": (_UNSYNCED, _READS, "/srv"),
}
"""What sysbench is asked for, where it tells how much it did in a second, and its folder inside."""


def recipe() -> Path:
    """Write the recipe of the template that has sysbench; give its path."""
    path = FOLDER / "recipes/sysbench.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(RECIPE)
    return path


def begin() -> None:
    """Start the container that works, and give both sides their files."""
    volume = ("--volume", f"{NAME}:/srv")
    quiet(OVEN, "run", "sysbench", "--name", NAME, "--network", "none", *volume, env=HOME)


def end() -> None:
    """Remove what `begin` has made."""
    quiet(OVEN, "destroy", "--force", NAME, env=HOME)
    quiet(OVEN, "volume", "rm", NAME, env=HOME)


def inside(work: str) -> float:
    """Do it in the container; give how much was done in a second."""
    return _measure(work, WORK[work][2], "sysbench", _in_container)


def on_host(rootfs: Path, work: str) -> float:
    """Do it with the same program and libraries, outside of all namespaces."""
    folder = FOLDER / "files"
    folder.mkdir(exist_ok=True)
    loader = f"{rootfs}/lib64/ld-linux-x86-64.so.2"
    libraries = f"{rootfs}/usr/lib/x86_64-linux-gnu"
    program = f"{loader} --library-path {libraries} {rootfs}/usr/bin/sysbench"
    return _measure(work, str(folder), program, lambda script: quiet("sh", "-c", script))


def _measure(work: str, folder: str, program: str, run: Callable[[str], str]) -> float:
    arguments, pattern, _ = WORK[work]
    script = f"cd {folder} && {program} --time={SECONDS} {arguments} run"
    if arguments.startswith(_FILES):
        prepare = f"cd {folder} && {program} {_FILES} prepare >/dev/null"
        script = f"{prepare} && {script} && {program} {_FILES} cleanup >/dev/null"
    found = re.search(pattern, run(script))
    if found is None:
        raise RuntimeError(f"sysbench did not tell what it did: {work}")
    return float(found[1])


def _in_container(script: str) -> str:
    return quiet(OVEN, "exec", NAME, "--", "sh", "-c", script, env=HOME)
