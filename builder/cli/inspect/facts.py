"""What `oven show` tells of a container, for scripts and for people."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.cli.terminal.sizes import binary
from builder.model.host_access import show_host_access
from builder.model.value import hex_of
from builder.runtime.record.openings import openings

if TYPE_CHECKING:
    from builder.runtime.inspect.show import Summary
    from builder.runtime.record.container import Container, Limits
    from builder.runtime.resources.usage import Rates, Usage

Line = tuple[str, str]

_KEPT = (
    "interfaces",
    "binds",
    "restart",
    "autostart",
    "protected",
    "limits",
    "features",
    "devices",
    "lxcfs",
    "first-id",
    "ids",
    "uuid",
)
"""Parts of a record that scripts see as they are kept."""


def facts(summary: "Summary", usage: "Usage | None") -> dict[str, object]:
    """Gather all that a script may want to know; `use` is None of what does not run."""
    container = summary.container
    kept: dict[str, object] = msgspec.to_builtins(container)
    result: dict[str, object] = {
        "name": container.name,
        "status": summary.status,
        "ready": summary.ready,
        "unanswered": list(summary.unanswered),
        "address": summary.address,
        "addresses": list(summary.addresses),
        "template": container.template_name,
        "digest": hex_of(container.template),
        "hostname": summary.hostname,
        "init": container.init,
        "network": [one.network for one in container.interfaces],
        "ports": [str(port) for port in container.ports],
        "host": {name: show_host_access(access) for name, access in summary.host},
        "open": list(openings(_as_it_is(summary), summary.host)),
    }
    result |= {key: kept[key] for key in _KEPT}
    return result | {
        "now": msgspec.to_builtins(summary.given),
        "pid": summary.pid,
        "exit-code": summary.exit_code,
        "created": moment(container.created),
        "started": moment(summary.since) if summary.since else None,
        "use": None if usage is None else msgspec.to_builtins(usage),
    }


def moment(seconds: int) -> str:
    """Write a time as scripts read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def told(summary: "Summary", usage: "Usage | None", rates: "Rates | None") -> list[Line]:
    """Write for people what is and what may be."""
    container = summary.container
    lines = [
        ("name", container.name),
        ("status", _status(summary)),
        ("template", f"{container.template_name} ({hex_of(container.template)[:12]})"),
        ("created", _here(container.created)),
    ]
    lines += (("unanswered", one) for one in summary.unanswered)
    if summary.hostname != container.name:
        lines.append(("hostname", summary.hostname))
    lines += _reached(summary)
    lines += _limited(container.limits) if usage is None else _used(container, usage, rates)
    lines.append(("restart", container.restart))
    if container.autostart is not None:
        lines.append(("autostart", f"yes, order {container.autostart.order}"))
    else:
        lines.append(("autostart", "no"))
    lines.append(("protected", "yes" if container.protected else "no"))
    lines += (("open", one) for one in openings(_as_it_is(summary), summary.host))
    lines += (("next start", one) for one in _other_next_time(summary))
    return lines


def _as_it_is(summary: "Summary") -> "Container":
    """Give a record that tells what there is now, of a container that runs."""
    container, given = summary.container, summary.given
    if given is None:
        return container
    return msgspec.structs.replace(container, features=given.features, devices=given.devices)


def _other_next_time(summary: "Summary") -> Iterator[str]:
    """Tell what a running container gets or loses by its next start."""
    container, given = summary.container, summary.given
    if given is None:
        return
    now, then = ((*one.features, *one.devices) for one in (given, container))
    if more := [word for word in then if word not in now]:
        yield f"with {', '.join(more)}"
    if less := [word for word in now if word not in then]:
        yield f"without {', '.join(less)}"
    if given.ids != container.ids:
        yield f"{container.ids} ids instead of {given.ids}"


def _status(summary: "Summary") -> str:
    words: str = summary.status
    if summary.status == "stopped":
        return words if summary.exit_code is None else f"{words}, ended with {summary.exit_code}"
    if summary.since:
        words += f" since {_here(summary.since)} ({_span(time.time() - summary.since)})"
    if summary.pid:
        words += f", process {summary.pid}"
    return words if summary.ready or summary.status != "running" else f"{words}, not yet ready"


def _reached(summary: "Summary") -> Iterator[Line]:
    container = summary.container
    yield "address", summary.address or "-"
    yield "networks", ", ".join(one.network for one in container.interfaces) or "none"
    if summary.host:
        words = (f"{show_host_access(access)} on {name}" for name, access in summary.host)
        yield "host", ", ".join(words)
    if container.ports:
        yield "ports", ", ".join(map(str, container.ports))
    for bind in container.binds:
        mode = " (read-only)" if bind.read_only else ""
        word = "bind" if bind.source.startswith("/") else "volume"
        yield word, f"{bind.source} at {bind.target}{mode}"


def _limited(limits: "Limits") -> Iterator[Line]:
    """Tell the limits of a container that does not run."""
    yield "memory", _of(None, _bytes(limits.memory)) + _beside("swap", _bytes(limits.swap))
    yield "cpu", _of(None, _number(limits.cpus)) + _beside("weight", _number(limits.weight))
    yield "processes", _of(None, _number(limits.pids))
    yield "disk", _of(None, _bytes(limits.disk)) + _beside("inodes", _number(limits.inodes))
    yield from _rate_limits(limits)


def _used(container: "Container", usage: "Usage", rates: "Rates | None") -> Iterator[Line]:
    memory, cpu, disk = usage.memory, usage.cpu, usage.disk
    words = _of(_bytes(memory.used), _bytes(memory.limit))
    words += _beside("cache", _bytes(memory.cache)) + _beside("swap", _bytes(memory.swap))
    yield "memory", words + _beside("killed for lack of it", _number(memory.oom_kills or None))
    busy = None if rates is None or rates.cpu is None else f"{rates.cpu:.0f}%"
    words = _of(busy, None if cpu.limit is None else f"{cpu.limit * 100:.0f}%")
    words += _beside("time", None if cpu.seconds is None else f"{cpu.seconds:.1f} s")
    words += _beside("weight", _number(container.limits.weight))
    yield "cpu", words + _beside("times held back", _number(cpu.throttled or None))
    yield "processes", _of(_number(usage.pids.used), _number(usage.pids.limit))
    if disk is None:
        yield "disk", _of(None, _bytes(container.limits.disk))
    else:
        words = _of(_bytes(disk.used_bytes), _bytes(disk.limit_bytes))
        files = _of(_number(disk.used_inodes), _number(disk.limit_inodes))
        yield "disk", f"{words}, inodes {files}" if disk.limit_inodes else words
    yield from _moved(container, usage)
    waits = usage.pressure
    shares = [("cpu", waits.cpu), ("memory", waits.memory), ("disk", waits.io)]
    known = [f"{kind} {stall.some:.0f}%" for kind, stall in shares if stall is not None]
    if known:
        yield "waits for", ", ".join(known)


def _moved(container: "Container", usage: "Usage") -> Iterator[Line]:
    """Tell what went to and from disks and networks."""
    io = usage.io
    yield "disk reads", f"{_bytes(io.read_bytes) or '?'} in {_number(io.reads) or '?'}"
    yield "disk writes", f"{_bytes(io.written_bytes) or '?'} in {_number(io.writes) or '?'}"
    yield from _rate_limits(container.limits)
    for cable in usage.network:
        received, sent = binary(cable.received_bytes), binary(cable.sent_bytes)
        yield cable.name, f"{received} received, {sent} sent"


def _rate_limits(limits: "Limits") -> Iterator[Line]:
    rows = (
        ("read", limits.read_bytes, limits.read_operations),
        ("write", limits.write_bytes, limits.write_operations),
    )
    for what, size, count in rows:
        words = [f"{binary(size)}/s"] if size else []
        words += [f"{count} requests/s"] if count else []
        if words:
            yield f"{what} limit", ", ".join(words)


def _of(used: str | None, limit: str | None) -> str:
    if used is None:
        return "no limit" if limit is None else f"at most {limit}"
    return f"{used}, no limit" if limit is None else f"{used} of {limit}"


def _beside(what: str, value: str | None) -> str:
    return "" if value is None else f", {what} {value}"


def _bytes(size: int | None) -> str | None:
    return None if size is None else binary(size)


def _number(value: float | None) -> str | None:
    return None if value is None else str(value)


def _here(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
