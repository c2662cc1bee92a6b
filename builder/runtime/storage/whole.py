"""Whole copies: a folder that nobody changes, copied or linked by cp(1)."""

import errno
import os
from pathlib import Path

from builder.host.process import launch
from builder.host.programs import find_program, missing_program
from builder.host.trees.links import own_files
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError

_OUTPUT = 1 << 16


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with all that the kernel keeps of files: owners, attributes, holes, whiteouts.

    Blocks are shared where the file system can do that.
    """
    code, told = _copy(source, target, "--reflink=auto")
    if code != 0 and "No space left" in told:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    if code != 0:
        raise HostError(
            f"cannot copy a layer: {told.splitlines()[0] if told else f'cp ended with {code}'}",
        )


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder that never changes, its files as hard links where that is possible.

    It is not between file systems, projects of a disk quota, and for files with very many links.
    """
    if _copy(source, target, "--link")[0] != 0:
        remove_tree(target)
        copy_tree(source, target)
    own_files(target)


def _copy(source: Path, target: Path, how: str) -> tuple[int, str]:
    """Run GNU cp, which follows no link with -a; give its status and its complaint."""
    program = find_program("cp")
    if program is None:
        raise missing_program("cp")
    argv = (str(program), "-a", how, "--no-target-directory", "--", str(source), str(target))
    code, output = _run(argv)
    return code, output.decode(errors="replace").strip()


def _run(argv: tuple[str, ...]) -> tuple[int, bytes]:
    """Run a program that ends when this process does; give its status and its words."""
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            program = launch.Program(argv, {"LC_ALL": "C"}, (null, writing, writing))
            pid = launch.launch(program, lambda: None)
        finally:
            os.close(writing)
            os.close(null)
        return launch.capture(pid, reading, _OUTPUT, timeout=1e6)
    finally:
        os.close(reading)
