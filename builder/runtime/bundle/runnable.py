"""Whether a container can start a command, seen from outside before anything is started."""

import os
import stat
import struct

from builder.host.kernel.crossings import CrossingError
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.runtime.bundle.process import PATH

# An OCI runtime starts the command as its last act, when nobody is left to tell a failure of that
# from the command's own status. So what the kernel would say is found out before (execve(2)).

_MOUNTED = ("/dev/", "/proc/", "/run/", "/sys/")
"""What lies there is seen only once the container runs."""
_LINKS = 40
"""Links in a row that the kernel follows too (path_resolution(7))."""
_SCRIPTS = 5
"""Scripts in a row of which each is the interpreter of the one before, and one more."""
_LINE = 256
"""Bytes of a script's first line that the kernel reads."""
_MOST_HEADERS = 1 << 16
_EXECUTABLES = {2, 3}
_LOADED, _INTERPRETER = 1, 3
"""Kinds of program headers (elf(5))."""


class CannotStartError(HostError):
    """A command that is no program, or has no folder to work in; a shell would end with 126."""

    exit_code = 126


class NoProgramError(CannotStartError):
    """A command, or what has to interpret it, is not in the container; a shell ends with 127."""

    exit_code = 127


def check_program(tree: TreeIO, program: str, path: str = PATH, cwd: str = "/") -> None:
    """Refuse a command that cannot be started, with the error that says how a shell would end."""
    if not program:
        raise NoProgramError("a command without a name is in no container")
    if "/" in program:
        candidates = [program if program[0] == "/" else f"{cwd.rstrip('/')}/{program}"]
    else:
        candidates = [f"{folder}/{program}" for folder in path.split(":")]
    if any(_is_mounted(candidate) for candidate in candidates):
        return
    try:
        found = [candidate for candidate in candidates if tree.exists(candidate)]
        if not found:
            raise NoProgramError(f"there is no program `{program}` in the container")
        chosen = next((one for one in found if is_executable(tree, one)), None)
        if chosen is None:
            raise CannotStartError(f"`{found[0]}` in the container is not executable")
        _check_format(tree, chosen, _SCRIPTS)
    except CrossingError:
        return  # it is the runtime's to see, from inside


def check_place(tree: TreeIO, cwd: str) -> None:
    """Refuse to work in a folder that is not there."""
    if _is_mounted(f"{cwd}/"):
        return
    try:
        there = tree.is_dir(cwd)
    except CrossingError:
        return
    if not there:
        raise CannotStartError(
            f"there is no folder `{cwd}` in the container to work in",
            hint="`-w` makes none; give one that is there",
        )


def told_by(complaint: str) -> CannotStartError | None:
    """Give the same errors where only the runtime has seen what is wrong, by its words for that."""
    if "chdir to cwd" in complaint or "mkdir" in complaint:
        return CannotStartError(f"the working folder cannot be used: {complaint}")
    if "exec: " not in complaint and "executable" not in complaint:
        return None
    if "not found" in complaint or "no such file" in complaint.lower():
        return NoProgramError(f"the command is not in the container: {complaint}")
    return CannotStartError(f"the command cannot be started: {complaint}")


def _is_mounted(path: str) -> bool:
    return os.path.normpath(path + "/x").startswith(_MOUNTED)


def has_file(tree: TreeIO, path: str) -> bool:
    """Tell whether a path leads to a regular file; one that is not entered is none."""
    try:
        return tree.is_file(path)
    except CrossingError:
        return False


def is_executable(tree: TreeIO, path: str) -> bool:
    """Tell whether it is a regular file with an execute bit, links followed."""
    for _ in range(_LINKS):
        try:
            mode = tree.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                return stat.S_ISREG(mode) and bool(mode & 0o111)
            target = tree.readlink(path)
        except CrossingError:
            raise
        except OSError:
            return False
        folder = path.rpartition("/")[0]
        path = target if target.startswith("/") else f"{folder}/{target}"
    return False


def _check_format(tree: TreeIO, path: str, left: int) -> None:
    """Refuse what the kernel would not run, or not without something that is missing.

    What is neither a script nor a program of a known kind may have an interpreter that somebody has
    named to the kernel, inside or outside (binfmt_misc); so that is tried.
    """
    try:
        with tree.opened(path, follow=True) as file:
            interpreter = os.fsdecode(_interpreter(file))
    except CrossingError:
        raise
    except (PermissionError, FileNotFoundError):
        return  # that of an ordinary user's container, or one that has just gone
    except (struct.error, ValueError):
        raise CannotStartError(f"`{path}` in the container is damaged: it is no program") from None
    if not interpreter.startswith("/") or _is_mounted(interpreter):
        return
    needed = f"`{path}` in the container needs `{interpreter}`"
    if not tree.exists(interpreter):
        raise NoProgramError(f"{needed}, which is not there")
    if not is_executable(tree, interpreter):
        raise CannotStartError(f"{needed}, which is not executable")
    if left:
        _check_format(tree, interpreter, left - 1)


def _interpreter(file: int) -> bytes:
    """Give what a script or a program names to interpret it; nothing where it names none."""
    head = os.pread(file, _LINE, 0)
    if head.startswith(b"#!"):
        return (head[2:].partition(b"\n")[0].split(maxsplit=1) or [b""])[0]
    return (loader(file) or b"") if head.startswith(b"\x7fELF") else b""


def loader(file: int) -> bytes | None:
    """Give the interpreter that a program names; a damaged one is a ValueError or struct.error.

    See elf(5), and load_elf_binary in the kernel's fs/binfmt_elf.c.
    """
    head = os.pread(file, 64, 0)
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if head[4] not in {1, 2} or head[5] not in {1, 2}:
        raise ValueError
    (kind,) = struct.unpack_from(f"{order}H", head, 16)
    (table,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    layout = f"{order}I4xQ16xQ16x" if wide else f"{order}II8xI12x"
    if kind not in _EXECUTABLES or size != struct.calcsize(layout) or size * count > _MOST_HEADERS:
        raise ValueError
    rows = list(struct.iter_unpack(layout, os.pread(file, size * count, table)))
    if len(rows) != count or not any(row[0] == _LOADED for row in rows):
        raise ValueError
    for row_kind, offset, length in rows:
        if row_kind == _INTERPRETER:
            name = os.pread(file, min(length, os.pathconf("/", "PC_PATH_MAX")), offset)
            if not name.endswith(b"\0"):
                raise ValueError
            return name.rstrip(b"\0")
    return None
