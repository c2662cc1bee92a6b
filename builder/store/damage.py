"""Damage: a file of the store is held against its hash before its bytes are used."""

from pathlib import Path

from builder.store import Store
from builder.store.verify import RemovedError, remove, verify_blob


def checked_blob(store: Store, sha256: str) -> Path | None:
    """Read the file with this hash and give it, or None; raises RemovedError if it has changed."""
    path = store.blob(sha256)
    if path is None or sha256 in store.checked:
        return path
    if not verify_blob(path):
        remove(store, path)
        raise RemovedError(
            f"the cache is damaged: the file `{path}` has changed",
            hint="run the same command again; it was removed, to be made anew",
        )
    store.checked.add(sha256)
    return path
