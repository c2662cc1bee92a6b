"""The store's four rules, checked on disk from outside, and what lies about that nobody owns."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from builder.store.manifest import TreeManifest, read_tree

_HEX = "[0-9a-f]{64}"
_KNOWN = re.compile(
    rf"blobs/../{_HEX}|trees/{_HEX}/(manifest\.json|root)|actions/../{_HEX}\.json|flights/.*"
    rf"|expanded/{_HEX}/(manifest\.json|package)|partial/(lock|{_HEX}(\.part)?)"
    rf"|frames/{_HEX}|logs/[^/]*\.log|uses/gate|[a-z.]*lock"
)
"""Every file that a store may hold outside `drafts`."""


def broken_rules(home: Path) -> list[str]:
    """Say which of the store's rules are broken; slow, since it reads everything."""
    store = home / "cache/v1"
    return [
        *_wrong_blobs(store / "blobs"),
        *_wrong_trees(store / "trees"),
        *_wrong_packages(store / "expanded"),
        *_wrong_actions(store),
    ]


def strays(home: Path, *outputs: Path) -> list[str]:
    """Name the files that no object and no result is made of: somebody has left them."""
    store = home / "cache/v1"
    folders = [*outputs, home / "templates/names", home / "cache/locks", home / "tmp"]
    hidden = [path for folder in folders if folder.exists() for path in folder.iterdir()]
    found = [path for path in hidden if path.name.startswith(".") or path.parent.name == "tmp"]
    found += [*(home / "templates").glob("drafts/*"), *store.glob("drafts/*")]
    found += [path for path in _objects(store) if not _KNOWN.fullmatch(_name(path, store))]
    return sorted(map(str, found))


def _objects(store: Path) -> Iterator[Path]:
    for path in store.rglob("*"):
        inside = path.relative_to(store).parts
        deep = inside[0] == "drafts" or (inside[0] in ("trees", "expanded") and len(inside) > 3)
        folder = path.is_dir() and len(inside) < 3
        if not deep and not folder:
            yield path


def _name(path: Path, store: Path) -> str:
    return str(path.relative_to(store))


def _wrong_blobs(folder: Path) -> Iterator[str]:
    for blob in folder.glob("*/*"):
        if hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name:
            yield f"{blob} is not what its name says"


def _wrong_trees(folder: Path) -> Iterator[str]:
    for tree in folder.iterdir() if folder.exists() else ():
        encoded = (tree / "manifest.json").read_bytes()
        if TreeManifest.digest(encoded) != f"sha256:{tree.name}":
            yield f"the manifest of {tree} is not what its name says"
        if read_tree(tree / "root", epoch=_epoch(encoded)).encode() != encoded:
            yield f"{tree} is not what its manifest says"


def _epoch(encoded: bytes) -> int:
    return max(entry.mtime for entry in TreeManifest.decode(encoded).entries)


def _wrong_packages(folder: Path) -> Iterator[str]:
    for package in folder.iterdir() if folder.exists() else ():
        control = package / "package/control/control"
        if not control.exists() or not (package / "package/paths").exists():
            yield f"{package} is not whole"
        for name in (package / "package/paths").read_text().splitlines():
            if (
                not (package / "package/root" / name).is_symlink()
                and not (package / "package/root" / name).exists()
            ):
                yield f"{package} lacks {name}"


def _wrong_actions(store: Path) -> Iterator[str]:
    """An action's result is gone only if somebody removed it, which nobody does here."""
    for action in (store / "actions").glob("*/*.json"):
        result = json.loads(action.read_bytes().rpartition(b"\n")[0])
        if not isinstance(result, dict):
            continue  # it notes what is known, and promises nothing
        if set(result) == {"tree"} and not _exists(store / "trees" / _digits(result["tree"])):
            yield f"{action} points to a tree that is not there"
        if set(result) == {"sha256", "size", "uncompressed", "tree"}:
            sha256 = result["sha256"]
            if not _exists(store / "blobs" / sha256[:2] / sha256):
                yield f"{action} points to a file that is not there"


def _digits(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _exists(path: Path) -> bool:
    return path.exists()
