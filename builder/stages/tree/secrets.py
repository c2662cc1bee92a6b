"""Secrets: what scripts may see while a template is made, and what it must not carry."""

import base64
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from builder.host.trees.treeio import TreeIO
from builder.model.errors import OvenError, RecipeError, StageError

FOLDER = "/run/oven/secrets"
"""Where the sandbox shows them, as files that only root can read."""

SHORTEST = 8
"""Bytes; what is shorter would be found by chance."""

_PIECE = 1 << 20


class MissingSecretError(RecipeError):
    """A script needs a secret that nobody has given."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the secret `{name}` is not given",
            hint=f"add `--secret {name}=FILE` or `--secret {name}=env:VARIABLE`",
        )
        self.name = name


def chosen(names: tuple[str, ...], given: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the secrets of a layer; raises MissingSecretError."""
    for name in names:
        if name not in given:
            raise MissingSecretError(name)
    return {name: given[name] for name in names}


@contextmanager
def masked(secrets: Mapping[str, bytes]) -> Iterator[None]:
    """Keep secrets out of the errors of what is done meanwhile."""
    try:
        yield
    except OvenError as error:
        error.problem = mask(error.problem, secrets)
        if isinstance(error, StageError):
            error.output = mask(error.output, secrets)
        raise


def mask(text: str, secrets: Mapping[str, bytes]) -> str:
    """Put the names of secrets into a text in the place of what they are."""
    for name, value in secrets.items():
        for form in (value, value.strip()):
            text = text.replace(form.decode(errors="replace"), f"[secret {name}]")
    return text


def refuse_traces(changed: Path, secrets: Mapping[str, bytes]) -> None:
    """Raise StageError when anything below a folder holds a secret, as it is or encoded.

    Looked for are the bytes themselves, hex digits and Base64 (RFC 4648) at any offset; what is
    compressed or encrypted cannot be seen.
    """
    needles = {form: name for name, value in secrets.items() for form in forms(value.strip())}
    if not needles:
        return
    longest = max(map(len, needles))
    with TreeIO(changed) as tree, _told_when_deep():
        for path, status in tree.walk():
            for piece in _pieces(tree, path, status.st_mode, longest):
                if (name := next((needles[one] for one in needles if one in piece), None)) is None:
                    continue
                raise StageError(
                    f"a script has left the secret `{name}` in `/{path}`",
                    hint="have it remove the file, or not write it at all",
                )


@contextmanager
def _told_when_deep() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise StageError("a script has made folders that are nested too deeply") from error


def forms(value: bytes) -> Iterator[bytes]:
    """Give the ways in which a secret may be written."""
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for shift in range(3):
        # Of the characters at both ends, some bits belong to what stands around the secret.
        encoded = base64.b64encode(bytes(shift) + value).rstrip(b"=")
        inner = encoded[(0, 2, 3)[shift] : len(encoded) - ((len(value) + shift) % 3 > 0)]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _pieces(tree: TreeIO, path: str, mode: int, overlap: int) -> Iterator[bytes]:
    """Give a file's name and bytes in pieces, each with the end of the one before."""
    yield os.fsencode(path.rpartition("/")[2])
    if stat.S_ISLNK(mode):
        yield os.fsencode(tree.readlink(path))
    elif stat.S_ISREG(mode):
        with tree.opened(path) as fd:
            before = b""
            while piece := os.read(fd, _PIECE):
                yield before + piece
                before = piece[-overlap:]
