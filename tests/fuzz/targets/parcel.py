"""Containers as files that `oven import` takes."""

import msgspec

from builder.formats.container import Reader
from builder.formats.tar import headers
from builder.model.value import canonical
from builder.runtime.history.transfer import Parcel, _layers_of, _parcel, accepted
from builder.runtime.record.container import Container, new_container
from builder.runtime.storage.change import Snapshot
from tests.fuzz.scratch import scratch
from tests.fuzz.tars import END, entry, summed

_DIGEST = "sha256:" + "0" * 64


def container() -> Container:
    """Give a record with a bit of everything."""
    made = new_container("web", _DIGEST, "x")  # type: ignore[arg-type]
    return msgspec.structs.replace(made, uuid="0" * 32, created=1, layers=("0123456789ab",))


def snapshot() -> Snapshot:
    """Give the record of a snapshot of it."""
    return Snapshot(
        created=1.5,
        kind="asked",
        template=_DIGEST,  # type: ignore[arg-type]
        template_name="x",
        layers=("0123456789ab",),
    )


def seeds() -> list[bytes]:
    """Give a container with a layer, and one with a template beside it."""
    told = Parcel(oven="0", container=container(), snapshots={"one": snapshot()})
    record = entry("oven.json", data=canonical(told))
    opaque = {"trusted.overlay.opaque": b"y"}
    layers = [
        entry("upper/", headers.FOLDER),
        entry("upper/file", data=b"text"),
        entry("upper/gone", headers.CHAR),
        entry("upper/link", headers.LINK, link=b"upper/file"),
        entry("layers/0123456789ab/", headers.FOLDER, xattrs=opaque),
        entry("layers/0123456789ab/soft", headers.SYMLINK, link=b"/etc"),
        END,
    ]
    template = entry("template.tar.zst", data=b"template")
    return [record + b"".join(layers), record + template + b"".join(layers)]


def play(data: bytes) -> None:
    """Read a file as far as it is one."""
    with scratch() as folder:
        source, target = folder / "source", folder / "layers"
        source.write_bytes(summed(data) if data[257:262] == b"ustar" else data)
        target.mkdir()
        with source.open("rb") as file:
            reader = Reader(file, source, most=1 << 30)
            parcel = _parcel(reader.record(), source)
            accepted(parcel, None, source)
            reader.template(folder / "template")
            names = [b"upper", *(f"layers/{one}".encode() for one in _layers_of(parcel))]
            reader.layers(target, frozenset(names))
