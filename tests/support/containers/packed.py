"""Files of containers, made by hand."""

import io
import tarfile

import msgspec
import zstandard

from builder.model.value import canonical
from builder.runtime.history.transfer import (
    Parcel,
)
from builder.runtime.record.container import load
from tests.support.containers.rig import Rig


def packed(record: bytes, entries: list[tarfile.TarInfo]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = entry("oven.json", tarfile.REGTYPE, size=len(record))
        tar.addfile(info, io.BytesIO(record))
        own_top = any(one.name == "upper" for one in entries)
        for one in entries if own_top else [entry("upper", mode=0o755), *entries]:
            tar.addfile(one)
    return zstandard.compress(raw.getvalue())


def record_of(rig: Rig, **changed: object) -> bytes:
    container = msgspec.structs.replace(load(rig.places, "test"), **changed)
    return canonical(Parcel(oven="1", container=container))


def entry(name: str, kind: bytes = tarfile.DIRTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info
