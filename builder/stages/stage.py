"""What a stage is: a function from one frozen value to one result, which the store remembers."""

import json
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
    result = _remembered(stage, inputs, tools, slot)
    if tools.witness is not None:
        tools.witness(stage.name, slot, inputs, result)
    return result


def _remembered(stage: Stage[In, Out], inputs: In, tools: Tools, slot: str) -> Out:
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
    changed = list(differences(old, msgspec.json.decode(canonical(inputs)), told=True))
    if not changed:
        return f"its result is gone, or {stage.name} itself changed"
    # What a person has changed comes first: the tree below always changes with it.
    changed.sort(key=lambda one: one == TREE_BELOW)
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return ", ".join(changed[:3]) + more


TREE_BELOW = "the tree below changed"


def differences(old: object, new: object, at: str = "", *, told: bool = False) -> list[str]:
    """Name the places in which two decoded JSON values differ, as a person would say them.

    With `told`, each comes with what happened: `curl 1 -> 2`, `overlay/etc/motd changed`.
    """
    if old == new:
        return []
    if told and (swapped := _swapped(old, new)):
        return [f"{at} {before} -> {after}" for before, after in swapped]
    old_parts, new_parts = _parts(old), _parts(new)
    if old_parts is None or new_parts is None:
        return [_changed(at or "everything", old, new) if told else at or "everything"]
    found: list[str] = []
    for name in sorted(old_parts.keys() | new_parts.keys()):
        inner = f"{at}.{name}" if at and not name.startswith("/") else f"{at}{name}"
        before, after = old_parts.get(name), new_parts.get(name)
        if name not in old_parts or name not in new_parts:
            found.append(f"{inner} {'gone' if name in old_parts else 'new'}" if told else inner)
        elif isinstance(old, list):
            # An item that has a name of its own says enough.
            one = [_changed(inner, before, after) if told else inner]
            found += one if before != after else []
        else:
            found.extend(differences(before, after, inner, told=told))
    return found


def _swapped(old: object, new: object) -> list[tuple[str, str]]:
    """Pair the lines of two lists that say the same of the same things, as versions of tools do."""
    if not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return []
    if not all(isinstance(one, str) and " " in one for one in (*old, *new)):
        return []
    return [(before, after) for before, after in zip(old, new, strict=True) if before != after]


SHORT = 40
"""Characters up to which a value is told, and not only that it changed."""


def _changed(at: str, old: object, new: object) -> str:
    """Say how a value changed, if that is short: a hash says nothing to anybody."""
    if at == "tree":
        return TREE_BELOW
    before, after = (one.get("version") if isinstance(one, dict) else one for one in (old, new))
    words = [json.dumps(one) if isinstance(one, bool) else str(one) for one in (before, after)]
    plain = all(isinstance(one, str | int) and one != "" for one in (before, after))
    short = all(len(word) <= SHORT and "\n" not in word for word in words)
    if plain and short and before != after and not words[0].startswith("sha256:"):
        return f"{at} {words[0]} -> {words[1]}"
    return f"{at} changed"


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
