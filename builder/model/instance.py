"""Instances: what one container of an appliance was told, and what it was given for that."""

from collections.abc import Iterable

import msgspec

from builder.model.interface import Json
from builder.model.names import ParameterName
from builder.model.value import Value


class Answers(Value, frozen=True, kw_only=True):
    """What an instance was told, right as far as it goes."""

    values: dict[ParameterName, Json]
    """Of each parameter that has one."""
    given: dict[ParameterName, Json]
    """Those of them that somebody said; all others follow the template that the instance has."""
    missing: tuple[str, ...] = ()
    """Parameters that have to be answered before anybody is served."""


class InstanceFile(Value, frozen=True, kw_only=True):
    """A file that an instance is given."""

    path: str
    """Where it is, relative to the root."""
    content: bytes
    mode: int
    owner: str | int | None = None
    """The account, by name or number; None for that of the file in its place, else root."""
    group: str | int | None = None
    own_mode: bool = False
    """Whether `mode` counts where a file is in its place."""


class Instance(Value, frozen=True, kw_only=True):
    """All that answers and secrets come to."""

    answers: Answers
    secrets: dict[ParameterName, str] = {}
    """Each secret as its units get it."""
    files: tuple[InstanceFile, ...] = ()
    """Sorted by path."""
    template: str = ""
    """The digest of the template that brought these files."""
    gone: tuple[str, ...] = ()
    """Files that it was given once, and that are to be removed."""

    def with_gone(self, paths: Iterable[str]) -> "Instance":
        """Give the same, having been given those files before."""
        gone = {*self.gone, *paths} - {one.path for one in self.files}
        return msgspec.structs.replace(self, gone=tuple(sorted(gone)))

    def after(self, before: "Instance") -> "Instance":
        """Give the same as what comes after another one, keeping what nobody asks for now."""
        answers = msgspec.structs.replace(
            self.answers, given={**before.answers.given, **self.answers.given}
        )
        secrets = {**before.secrets, **self.secrets}
        made = msgspec.structs.replace(self, answers=answers, secrets=secrets)
        return made.with_gone([*before.gone, *(one.path for one in before.files)])

    def with_files(self, files: Iterable[InstanceFile]) -> "Instance":
        """Give the same with more files, each instead of one that is gone."""
        known = {one.path: one for one in (*files, *self.files)}
        made = msgspec.structs.replace(self, files=tuple(known[path] for path in sorted(known)))
        return made.with_gone(())

    def without_files(self) -> "Instance":
        """Give the same, whose files are made anew at the next start."""
        gone = {*self.gone, *(one.path for one in self.files)}
        return msgspec.structs.replace(self, files=(), template="", gone=tuple(sorted(gone)))
