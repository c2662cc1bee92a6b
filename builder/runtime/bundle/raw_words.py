"""Words that are no text: how a command gets arguments that the configuration cannot hold."""

import string

import msgspec

from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.model.visible import visible
from builder.runtime.bundle.process import Process
from builder.runtime.bundle.runnable import is_executable

# To the kernel a name or an argument is bytes. An OCI runtime reads them from JSON, which is
# Unicode, and runc hands them to its helper inside as JSON once more. So a shell of the container
# makes such words from what is plain text, and then becomes the command.

_SHELL = "/bin/sh"
_PLAIN = frozenset((string.ascii_letters + string.digits + "/_.,:=+").encode())
_NAMES = frozenset(string.ascii_letters + string.digits + "_")


def carried(process: Process, tree: TreeIO) -> Process:
    """Give a process of the same effect that is all text; HostError where that cannot be."""
    raw = next((w for w in (*process.argv, *process.env, process.cwd) if not _is_text(w)), None)
    if raw is None:
        return process
    if not is_executable(tree, _SHELL):
        raise HostError(
            f"`{visible(raw)}` is not UTF-8, and cannot be passed on",
            hint=f"the container would need a `{_SHELL}` for that",
        )
    lines = [_variable(word) for word in process.env if not _is_text(word)]
    if not _is_text(process.cwd):
        lines += [_assign("_cwd", process.cwd), 'cd "$_cwd" || exit 126']
    command = ["exec"]
    for number, word in enumerate(process.argv, 1):
        if _is_text(word):
            command.append(f'"${{{number}}}"')
        else:
            lines.append(_assign(f"_{number}", word))
            command.append(f'"$_{number}"')
    script = "\n".join((*lines, " ".join(command)))
    words = (word if _is_text(word) else "" for word in process.argv)
    return msgspec.structs.replace(
        process,
        argv=(_SHELL, "-c", script, "sh", *words),
        env=tuple(word for word in process.env if _is_text(word)),
        cwd=process.cwd if _is_text(process.cwd) else "/",
    )


def _is_text(word: str) -> bool:
    """Tell whether a word is Unicode; other bytes come as lone surrogates (PEP 383)."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _variable(word: str) -> str:
    name, _, value = word.partition("=")
    if not name or name[0].isdigit() or not _NAMES.issuperset(name):
        raise HostError(
            f"the variable `{visible(word)}` is not UTF-8, and cannot be passed on",
            hint="it can where the name has only letters, digits and `_`",
        )
    return f"{_assign(name, value)}\nexport {name}"


def _assign(name: str, value: str) -> str:
    """Write a line that sets a variable; the dot keeps line feeds at the end from being cut off."""
    data = value.encode(errors="surrogateescape")
    coded = "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in data)
    coded = coded.replace("\\045", "%%")
    return f"{name}=$(printf '{coded}.')\n{name}=${{{name}%.}}"
