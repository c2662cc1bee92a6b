"""Plans: what other answers change, in files and for the units that have to hear of it."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from builder.model.instance import Instance, InstanceFile
from builder.model.interface import Action, Affected, Interface
from builder.model.visible import visible_lines

MASK = "(secret)"
_SHORTEST = 4
"""Characters of a secret that is worth hiding: what is shorter is in any text."""


@dataclass(frozen=True)
class FileChange:
    """A file that will be another one."""

    path: str
    kind: Literal["new", "changed", "gone"]
    difference: str
    """A unified diff in which no secret is shown; nothing where there is nothing to be seen."""


@dataclass(frozen=True)
class Plan:
    """All that a change of answers comes to."""

    files: tuple[FileChange, ...]
    units: Mapping[str, Action]
    """The units that reload or restart."""
    parameters: tuple[str, ...]
    """Those whose values change."""
    secrets: tuple[str, ...]
    """Those that are new."""

    @property
    def empty(self) -> bool:
        """Whether nothing changes at all."""
        return not (self.files or self.parameters or self.secrets)


def between(before: Instance, after: Instance, interface: Interface) -> Plan:
    """Compare what an instance has with what it shall have."""
    values = {*before.answers.values, *after.answers.values}
    parameters = [
        name
        for name in sorted(values)
        if before.answers.values.get(name) != after.answers.values.get(name)
    ]
    secrets = [name for name, one in after.secrets.items() if before.secrets.get(name) != one]
    return Plan(
        files=tuple(_file_changes(before, after, hidden(before, after, interface))),
        units=_units(interface, parameters, secrets),
        parameters=tuple(parameters),
        secrets=tuple(sorted(secrets)),
    )


def hidden(before: Instance, after: Instance, interface: Interface) -> list[str]:
    """List all texts that are shown nowhere, the longest first."""
    found = set()
    for one in (before, after):
        found |= set(one.secrets.values())
        for name, parameter in interface.parameters.items():
            if parameter.secret or parameter.generate:
                found.add(str(one.answers.values.get(name, "")))
    whole = {line for text in found for line in (text, *text.splitlines())}
    return sorted((one for one in whole if len(one) >= _SHORTEST), key=len, reverse=True)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Hide secrets in a text."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _file_changes(before: Instance, after: Instance, secrets: list[str]) -> Iterable[FileChange]:
    old = {one.path: one for one in before.files}
    new = {one.path: one for one in after.files}
    for path in sorted({*old, *new}):
        was, shall = old.get(path), new.get(path)
        if was == shall:
            continue
        kind: Literal["new", "changed", "gone"] = (
            "new" if was is None else "gone" if shall is None else "changed"
        )
        yield FileChange(path, kind, _difference(path, _text(was, secrets), _text(shall, secrets)))


def _text(file: InstanceFile | None, secrets: list[str]) -> list[str] | None:
    """Give the lines of a file as they may be shown; None for one that is no text."""
    if file is None:
        return []
    try:
        text = file.content.decode()
    except UnicodeDecodeError:
        return None
    return visible_lines(masked(text, secrets)).splitlines(keepends=True)


def _difference(path: str, old: list[str] | None, new: list[str] | None) -> str:
    if old is None or new is None:
        return "it is no text\n"
    lines = difflib.unified_diff(old, new, f"/{path}", f"/{path}", n=2)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _units(
    interface: Interface, parameters: Iterable[str], secrets: Iterable[str]
) -> dict[str, Action]:
    found: dict[str, Action] = {}
    affected: list[Affected] = []
    for name in parameters:
        if name in interface.parameters:
            affected += interface.parameters[name].affects
    for name in secrets:
        if name in interface.secrets:
            affected += interface.secrets[name].affects
    for one in affected:
        config = interface.services.get(one.unit)
        action: Action = one.action or (config.apply if config else "reload")
        # Who has to restart has heard of everything then.
        found[one.unit] = "restart" if "restart" in {action, found.get(one.unit)} else action
    return found
