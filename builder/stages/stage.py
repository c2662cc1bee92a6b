"""What a stage is: a function from one frozen value to one result, which the store remembers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from builder.model.value import Digest, Value, canonical, digest_of
from builder.stages.tools import Tools
from builder.store import Store

In = TypeVar("In", bound=Value)
Out = TypeVar("Out", bound=Value)


@dataclass(frozen=True, slots=True)
class Stage(Generic[In, Out]):
    """A named, remembered function.

    Its key is made from the very value that the function gets, so no input can be forgotten in it.
    `version` is raised when the same inputs come to mean another result. `held` says whether the
    objects that a result names are still in the store.
    """

    name: str
    version: int
    work: Callable[[In, Tools], Out]
    result: type[Out]
    held: Callable[[Out, Store], bool]
    outcome: Callable[[Out], str] = lambda _: ""
    """A word or two for people on what came out."""

    def key(self, inputs: In) -> Digest:
        """Equal keys mean equal results."""
        return digest_of([self.name, self.version, inputs])


class Tree(Value, frozen=True):
    """The result of a stage that makes a root file system."""

    tree: Digest


def tree_held(result: Tree, store: Store) -> bool:
    """Tell whether the tree is still in the store."""
    return store.tree(result.tree) is not None


def make(stage: Stage[In, Out], inputs: In, tools: Tools, *, slot: str) -> Out:
    """Give the result of a stage: remembered if it was made before, else made now.

    `slot` names the place in a build, such as `web/amd64/debian-bookworm`, so that the inputs can
    be compared with the last ones there and the reason told; people are shown its last part.
    """
    key = stage.key(inputs)
    label = f"{stage.name} {slot.rpartition('/')[2]}"
    if (kept := _recall(stage, key, tools.store)) is not None:
        tools.report.stage(label, "kept", "nothing changed")
        _note(stage, inputs, tools.store, slot)
        return kept
    reason = _reason(stage, inputs, tools.store, slot)
    with tools.store.flight(key):
        # Another process may have made it while this one waited.
        if (kept := _recall(stage, key, tools.store)) is not None:
            tools.report.stage(label, "kept", "made by another build just now")
            return kept
        tools.report.stage(label, "runs", reason)
        result = _work(stage, inputs, tools, label)
        tools.store.remember(key, canonical(result))
    _note(stage, inputs, tools.store, slot)
    return result


def _work(stage: Stage[In, Out], inputs: In, tools: Tools, label: str) -> Out:
    """Do the work, and show that it goes on."""
    task = tools.report.begin(label)
    try:
        result = stage.work(inputs, tools)
    except BaseException:
        task.close("failed")
        raise
    task.close(stage.outcome(result))
    return result


def _recall(stage: Stage[In, Out], key: Digest, store: Store) -> Out | None:
    remembered = store.recall(key)
    if remembered is None:
        return None
    try:
        result = msgspec.json.decode(remembered, type=stage.result)
    except msgspec.DecodeError:
        return None  # a damaged note loses time, not truth
    return result if stage.held(result, store) else None


def _slot_key(stage: Stage[In, Out], slot: str) -> Digest:
    return digest_of(["slot", stage.name, slot])


def _note(stage: Stage[In, Out], inputs: In, store: Store, slot: str) -> None:
    """Remember the inputs last used in a slot, only so that the next build can explain itself."""
    encoded = canonical(inputs)
    if store.recall(_slot_key(stage, slot)) != encoded:
        store.remember(_slot_key(stage, slot), encoded)


def _reason(stage: Stage[In, Out], inputs: In, store: Store, slot: str) -> str:
    before = store.recall(_slot_key(stage, slot))
    if before is None:
        return "first time"
    try:
        old: object = msgspec.json.decode(before)
    except msgspec.DecodeError:
        return "first time"
    changed = list(differences(old, msgspec.json.decode(canonical(inputs))))
    if not changed:
        return f"its result is gone, or {stage.name} itself changed"
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return ", ".join(changed[:3]) + more + " changed"


def differences(old: object, new: object, at: str = "") -> list[str]:
    """Name the places in which two decoded JSON values differ, as a person would say them."""
    if old == new:
        return []
    old_parts, new_parts = _parts(old), _parts(new)
    if old_parts is None or new_parts is None:
        return [at or "everything"]
    found: list[str] = []
    for name in sorted(old_parts.keys() | new_parts.keys()):
        inner = f"{at}.{name}" if at and not name.startswith("/") else f"{at}{name}"
        if name not in old_parts or name not in new_parts:
            found.append(inner)
        elif isinstance(old, list):
            # An item that has a name of its own says enough.
            found += [inner] if old_parts[name] != new_parts[name] else []
        else:
            found.extend(differences(old_parts[name], new_parts[name], inner))
    return found


def _parts(value: object) -> Mapping[str, object] | None:
    """See a list of named things as a mapping from name to thing; None for a plain value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        named = {_name(item): item for item in value}
        if None not in named and len(named) == len(value):
            return {str(name): item for name, item in named.items()}
    return None


def _name(item: object) -> str | None:
    if isinstance(item, dict):
        for field in ("name", "path"):
            if isinstance(item.get(field), str):
                return "/" + str(item[field]).lstrip("/")
    return item if isinstance(item, str) else None
