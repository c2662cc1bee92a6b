"""Files that somebody else wrote, given to a program of the host's where it can do no harm."""

import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from builder.host.overlayfs.layered import LayeredEntry
from builder.host.programs import Command, Done, all_of, announce, memory_file, start
from builder.host.sandbox.sandbox import programs_of_host, views_of_kernel

FOLDER = "/given"
"""Where the program finds the files; it may write there, and all is gone afterwards."""

_SECONDS = 60
_MEMORY = 1 << 30
_OUTPUT = 256 << 20
"""What it may take at most. Nothing that can be written is read without end."""


def powerless(*rights: str) -> tuple[str, ...]:
    """Begin the line of a program that sees the host's programs alone, and has no network.

    Of root's rights it has only those that are named.
    """
    added = (word for right in rights for word in ("--cap-add", right))
    return (
        "bwrap", "--die-with-parent", "--new-session", "--clearenv", "--unshare-pid",
        "--unshare-net", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL", *added,
        *programs_of_host(), *views_of_kernel(""), "--setenv", "LC_ALL", "C.UTF-8",
    )  # fmt: skip


def read_by(argv: tuple[str, ...], files: Mapping[str, LayeredEntry], *shown: Path) -> Done:
    """Run a program on copies of some files, which it finds by their names in `FOLDER`.

    Of the host it sees files that are `shown`, besides programs.
    """
    limits = (f"--cpu={_SECONDS}", f"--as={_MEMORY}", f"--fsize={_OUTPUT}")
    line = ["prlimit", *limits, "--", *powerless(), "--dir", FOLDER]
    for path in shown:
        line += ["--ro-bind", str(path), str(path)]
    with ExitStack() as stack:
        fds = []
        for name, entry in files.items():
            copy = stack.enter_context(memory_file())
            for piece in entry.pieces():
                copy.write(piece)
            copy.seek(0)
            fds.append(copy.fileno())
            line += ["--file", str(copy.fileno()), f"{FOLDER}/{name}"]
        command = Command((*line, "--", *argv), pass_fds=tuple(fds))
        announce(command)
        output, complaints = (stack.enter_context(memory_file()) for _ in range(2))
        process = start(command, stdin=subprocess.DEVNULL, stdout=output, stderr=complaints)
        with process:
            try:
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        return Done(code, all_of(output), all_of(complaints))
