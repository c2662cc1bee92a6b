"""Prove: two builds of one lock compared stage by stage, down to the first byte that differs."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.trial import MadeStage
from builder.model.value import Digest, Value
from builder.proof.causes import known_cause
from builder.proof.differing import first_difference, first_member
from builder.stages.stage import differences
from builder.store import Store
from builder.store.manifest import Entry

MOST = 1 << 28
"""Bytes up to which files are compared; of larger ones only the hashes are."""

SHOWN = 100
"""So many differing files are named; the others are counted."""


class Differing(Value, frozen=True, kw_only=True):
    """A path that is not the same in both trees."""

    path: str
    what: tuple[str, ...]
    """Each thing that differs, such as `mode 0644 and 0600`."""
    offset: int | None = None
    """Of the first byte that differs in a file's content."""
    first: str = ""
    """The bytes from there on in the first build, as hex digits and text."""
    second: str = ""
    suspects: tuple[str, ...] = ()
    """Who may have written it, as far as that can be known."""
    known: str = ""
    """Why it always differs, where that is known."""


class StageProof(Value, frozen=True, kw_only=True):
    """One stage in both builds."""

    stage: str
    same: bool
    result: str
    """Of the first build: the name of a tree, or the hash of a file."""


class Proof(Value, frozen=True, kw_only=True):
    """What came of the comparison."""

    proven: bool
    stages: tuple[StageProof, ...]
    """In the order of the build, up to the first that differs."""
    inputs: tuple[str, ...] = ()
    """What the first differing stage was given that was not the same; then it is not to blame."""
    files: tuple[Differing, ...] = ()
    count: int = 0
    """Of all differing paths; no more than `SHOWN` are in `files`."""
    known: dict[str, int] = {}
    """How many of all each known cause is behind; in `files` they come last."""


def compare(
    first: tuple[MadeStage, ...], second: tuple[MadeStage, ...], stores: tuple[Store, Store]
) -> Proof:
    """Compare what two builds made; looks for the bytes only in the first stage that differs."""
    stages: list[StageProof] = []
    for one, other in itertools.zip_longest(first, second):
        if one is None or other is None:
            label = (one or other).label
            stages.append(StageProof(stage=label, same=False, result=""))
            return Proof(proven=False, stages=tuple(stages), inputs=("the number of stages",))
        same = one.result == other.result
        stages.append(StageProof(stage=one.label, same=same, result=_result(one)))
        if not same:
            return _difference(one, other, stores, tuple(stages))
    return Proof(proven=True, stages=tuple(stages))


def _result(made: MadeStage) -> str:
    return str(made.result.get("sha256") or made.result.get("tree", "")).removeprefix("sha256:")


def _difference(
    one: MadeStage, other: MadeStage, stores: tuple[Store, Store], stages: tuple[StageProof, ...]
) -> Proof:
    inputs = tuple(differences(one.inputs, other.inputs))
    found: list[Differing] = []
    count, known = 0, Counter[str]()
    if "sha256" in one.result:
        found = list(_packed(one, other, stores))
        count = len(found)
    elif "tree" in one.result:
        pairs = list(_entries(one, other, stores))
        pairs.sort(key=lambda pair: known_cause(_path(pair)) != "")
        count = len(pairs)
        known.update(why for pair in pairs if (why := known_cause(_path(pair))))
        roots = _roots(one, other, stores)
        with TreeIO(roots[0]) as left, TreeIO(roots[1]) as right:
            blame = _blame(one, left)
            found = [_differing(pair, (left, right), blame) for pair in pairs[:SHOWN]]
    return Proof(
        proven=False,
        stages=stages,
        inputs=inputs,
        files=tuple(found),
        count=count,
        known=dict(known),
    )


Pair = tuple[Entry | None, Entry | None]


def _entries(one: MadeStage, other: MadeStage, stores: tuple[Store, Store]) -> Iterator[Pair]:
    """Give the entries of two trees that differ; a folder's time is left out beside its files."""
    left, right = (
        {entry.path: entry for entry in store.tree_manifest(_tree(made)).entries}
        for made, store in zip((one, other), stores, strict=True)
    )
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) != right.get(path):
            yield left.get(path), right.get(path)


def _path(pair: Pair) -> str:
    one = pair[0] or pair[1]
    assert one is not None  # there is no pair of nothing
    return one.path


def _tree(made: MadeStage) -> Digest:
    return Digest(str(made.result["tree"]))


def _roots(one: MadeStage, other: MadeStage, stores: tuple[Store, Store]) -> tuple[Path, Path]:
    first, second = stores[0].tree(_tree(one)), stores[1].tree(_tree(other))
    assert first is not None  # both were made just now
    assert second is not None
    return first, second


def _differing(pair: Pair, trees: tuple[TreeIO, TreeIO], blame: "Blame") -> Differing:
    old, new = pair
    one = old or new
    assert one is not None  # there is no pair of nothing
    if old is None or new is None:
        what: tuple[str, ...] = (f"only in the {'first' if new is None else 'second'} build",)
    else:
        what = tuple(_aspects(old, new))
    known = known_cause(one.path)
    suspects = () if known else blame(one.path)
    found = Differing(path=one.path, what=what, suspects=suspects, known=known)
    if old is None or new is None:
        return found
    if old.kind == new.kind == "file" and old.content != new.content:
        contents = [_read(tree, one.path) for tree in trees]
        if contents[0] is not None and contents[1] is not None:
            offset, first, second = first_difference(contents[0], contents[1])
            return msgspec.structs.replace(found, offset=offset, first=first, second=second)
    return found


def _aspects(old: Entry, new: Entry) -> Iterator[str]:
    for field in ("kind", "mode", "uid", "gid", "mtime", "size", "content", "xattrs"):
        left, right = getattr(old, field), getattr(new, field)
        if left == right:
            continue
        if field == "mode":
            yield f"mode {left:04o} and {right:04o}"
        elif field == "content" and old.kind == new.kind == "file":
            yield "content"
        elif field == "xattrs":
            yield "xattrs " + ", ".join(sorted({name for name, _ in set(left) ^ set(right)}))
        else:
            yield f"{field} {left} and {right}"


def _read(tree: TreeIO, path: str) -> bytes | None:
    """Read a file of a tree; None for one that is too large, or not to be named as text."""
    try:
        return tree.read_bytes(path, MOST)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in TREES_FAULT:
            raise
        return None


def _packed(one: MadeStage, other: MadeStage, stores: tuple[Store, Store]) -> Iterator[Differing]:
    left, right = (
        store.blob(str(made.result["sha256"]))
        for made, store in zip((one, other), stores, strict=True)
    )
    assert left is not None  # both were made just now
    assert right is not None
    found = first_member(left, right)
    yield Differing(
        path=found.member, what=found.what, offset=found.offset, first=found.first,
        second=found.second,
    )  # fmt: skip


# Who may have done it


Blame = Callable[[str], tuple[str, ...]]
"""Names who may have written a path."""


def _blame(made: MadeStage, tree: TreeIO) -> Blame:
    """Blame the overlay or the scripts of a recipe, or the packages whose files they are."""
    if made.stage == "customize":
        return _of_recipe(made)
    owners: dict[str, list[str]] = defaultdict(list)
    for package, paths in _lists(tree):
        for path in paths:
            owners[path].append(package)

    def owner(path: str) -> tuple[str, ...]:
        names = owners.get(f"/{path}", [])
        return tuple(f"the maintainer scripts of {name}, whose file it is" for name in names)

    return owner


def _of_recipe(made: MadeStage) -> Blame:
    overlay, scripts = made.inputs.get("overlay"), made.inputs.get("scripts")
    laid = {str(one["path"]) for one in overlay} if isinstance(overlay, list) else set()
    named = [str(one["path"]) for one in scripts] if isinstance(scripts, list) else []

    def owner(path: str) -> tuple[str, ...]:
        if path in laid:
            return (f"overlay/{path}",)
        return tuple(f"the script `{name}`" for name in named)

    return owner


def _lists(tree: TreeIO) -> Iterator[tuple[str, list[str]]]:
    """Give the paths of each package that dpkg knows in a tree."""
    info = "var/lib/dpkg/info"
    for name in tree.listdir(info) if tree.is_dir(info) else ():
        if name.endswith(".list"):
            data = _read(tree, f"{info}/{name}") or b""
            yield name.removesuffix(".list"), data.decode(errors="replace").splitlines()
