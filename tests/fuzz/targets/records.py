"""Records that Oven keeps, as a damaged disk may give them back: the first byte says which."""

from collections.abc import Callable

from builder.host import pids
from builder.host.places import Places
from builder.model.network import Network, NetworkState
from builder.model.value import canonical
from builder.recipes.lock_files import read_lock
from builder.runtime.history import schedule
from builder.runtime.history.schedule import Schedule
from builder.runtime.inspect import show
from builder.runtime.network import definitions
from builder.runtime.network.leases import Ledger
from builder.runtime.record import events, ids, state
from builder.runtime.record.container import load
from builder.runtime.record.state import End, State
from builder.runtime.recovery import tasks
from builder.runtime.recovery.tasks import Task
from builder.runtime.storage import change
from builder.runtime.storage.change import LayerChange
from builder.templates.local import Templates
from tests.fuzz.scratch import scratch
from tests.fuzz.targets.parcel import container, snapshot
from tests.support.trees.odd_trees import manifest

Read = Callable[[Places], object]
_DIGITS = "0" * 64

_READERS: list[tuple[str, Read, bytes]] = [
    ("containers/web/container.json", lambda at: load(at, "web"), canonical(container())),
    ("containers/web/container.json", show.list_containers, canonical(container())),
    (
        "containers/web/container.json",
        lambda at: list(ids._of_containers(at.data / "containers")),
        canonical(container()),
    ),
    (
        "run/containers/web/state.json",
        lambda at: state.status(at, "web"),
        canonical(State(phase="running", boot=pids.boot_id(), pid=1)),
    ),
    ("run/containers/web/exit/web", lambda at: state.exit_code(at, "web"), b"129"),
    (
        "containers/web/end.json",
        lambda at: state.read_end(at, "web"),
        canonical(End(code=1, time=1)),
    ),
    (
        "containers/web/snapshots/one.json",
        lambda at: change.snapshots_in(at.data / "containers/web"),
        canonical(snapshot()),
    ),
    ("containers/web/change.json", lambda at: change.halts(at, "web"), canonical(LayerChange())),
    (
        "containers/web/change.json",
        lambda at: change.settled(at, container()),
        canonical(LayerChange()),
    ),
    (
        "containers/web/schedule.json",
        lambda at: schedule.read(at, "web"),
        canonical(Schedule(every=86400, keep=1)),
    ),
    ("containers/web/task.json", lambda at: tasks.read(at, "web"), canonical(Task(runs=True))),
    ("networks/oven.json", definitions.names, canonical(Network(name="oven"))),
    ("networks/x.json", lambda at: definitions.find(at, "x"), canonical(Network(name="x"))),
    ("state.json", lambda at: Ledger(at.data).load(), canonical(NetworkState())),
    (
        "events.jsonl",
        lambda at: list(events.read(at)),
        b'{"time":"2024-01-01T00:00:00.000Z","name":"web","what":"started"}\n',
    ),
    (
        f"templates/{_DIGITS}/manifest.json",
        lambda at: [one.manifest for one in Templates(at.data).every()],
        canonical(manifest()),
    ),
    ("templates/names/x.json", lambda at: Templates(at.data).every(), b'{"digest":"sha256:0"}'),
    ("x.lock", lambda at: read_lock(at.data / "x.lock"), b'{"version":2}'),
]


def seeds() -> list[bytes]:
    """Give each record as it is written."""
    return [bytes([number]) + data for number, (_, _, data) in enumerate(_READERS)]


def play(data: bytes) -> None:
    """Read a record from its place."""
    if not data:
        return
    name, read, _ = _READERS[data[0] % len(_READERS)]
    with scratch() as home:
        places = Places(home, home / "cache", home / "run", (), point=home / "point")
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data[1:])
        read(places)
