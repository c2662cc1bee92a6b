"""First-boot data as a person wrote it: a file read, with what it names, and checked."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from builder.model.errors import RecipeError, Span
from builder.model.first_boot import LARGEST, File, FirstBoot, Root, check_hash, check_key
from builder.model.toml.decode import decode_source
from builder.model.toml.source import Source, source_of_bytes


def read(path: Path) -> FirstBoot:
    """Read it from a file; a mistake is a RecipeError with its place, which quotes no secret."""
    try:
        source = source_of_bytes(path.read_bytes(), path)
    except OSError as error:
        raise RecipeError(f"cannot read `{path}`: {error.strerror}") from error
    try:
        data = decode_source(source, FirstBoot)
    except RecipeError as error:
        raise _without_text(error) from None
    _check_logins(data, source)
    for index, one in enumerate(data.file):
        if sum(given is not None for given in (one.content, one.source, one.data)) != 1:
            at = msgspec.structs.replace(source.key("file", index), text=None)
            raise RecipeError("a file needs one of `content`, `source` and `data`", at=at)
    settled = tuple(_settled(one, path.parent) for one in data.file)
    return msgspec.structs.replace(data, file=settled)


def file_of(source: Path, path: str, mode: str = "0644") -> File:
    """Take a file of the host."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise RecipeError(f"cannot read `{source}`: {error.strerror}") from error
    if len(data) > LARGEST:
        raise RecipeError(
            f"`{source}` is larger than {LARGEST >> 20} MiB",
            hint="`oven cp` brings large files into a container",
        )
    return File(path=path, data=data, mode=mode)


def _settled(file: File, folder: Path) -> File:
    if file.source is not None:
        return file_of(folder / file.source, file.path, file.mode)
    data = file.data if file.content is None else file.content.encode()
    return File(path=file.path, data=data, mode=file.mode)


def _check_logins(data: FirstBoot, source: Source) -> None:
    logins: list[tuple[tuple[str | int, ...], Root]] = [(("root",), data.root)]
    logins += [(("user", index), user) for index, user in enumerate(data.user)]
    for where, login in logins:
        if login.password_hash is not None:
            _checked(check_hash, login.password_hash, source.value(*where, "password-hash"))
        for index, key in enumerate(login.ssh_keys):
            _checked(check_key, key, source.value(*where, "ssh-keys", index))


def _without_text(error: RecipeError) -> RecipeError:
    """Leave out the line that a mistake is in, since it may hold a secret; its number stays."""
    if error.at is not None:
        error.at = msgspec.structs.replace(error.at, text=None)
    return error


def _checked(check: Callable[[str], str], value: str, at: Span) -> None:
    try:
        check(value)
    except RecipeError as error:
        error.at = msgspec.structs.replace(at, text=None)
        raise
