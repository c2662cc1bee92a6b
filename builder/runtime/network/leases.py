"""The ledger: who is on which network of this host now, written down before it becomes true."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host import locks
from builder.host.pids import boot_id, is_alive
from builder.host.trees.durable import replace
from builder.model.errors import HostError
from builder.model.network import NetworkState
from builder.model.value import canonical


class Ledger:
    """A file below a folder that ends with the boot, and a lock for all of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "state.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Keep every other command from changing networks; give the descriptor that does.

        A process that inherits it keeps them waiting until it has ended, too (flock(2)).
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise HostError(
                "networks for containers need root", hint="run the same command with sudo"
            ) from error
        try:
            locks.lock(fd, "the networks of containers")
            yield fd
        finally:
            os.close(fd)

    def load(self) -> NetworkState:
        """Read what was last written; nobody is on a network when nothing was."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=NetworkState)
        except FileNotFoundError:
            return NetworkState()
        except msgspec.MsgspecError as error:
            raise HostError(
                f"the record of the networks is damaged: {error}",
                at=self._file,
                hint="stop the containers, remove the file, and start them again",
            ) from error

    def save(self, state: NetworkState) -> None:
        """Write down what is to be."""
        if state.leases:
            replace(self._file, canonical(state))
        else:
            self._file.unlink(missing_ok=True)


def alive(state: NetworkState, without: str = "") -> NetworkState:
    """Drop the leases of containers that are gone, and of one more, and networks left empty."""
    gone: dict[int, bool] = {}
    kept = []
    for lease in state.leases:
        if lease.pid not in gone:
            gone[lease.pid] = lease.boot != boot_id() or not is_alive(lease.pid, lease.started)
        if lease.key != without and not gone[lease.pid]:
            kept.append(lease)
    needed = {lease.segment for lease in kept}
    segments = tuple(one for one in state.segments if one.key in needed)
    return NetworkState(segments=segments, leases=tuple(kept))
