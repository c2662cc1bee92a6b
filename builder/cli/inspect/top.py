"""`oven top`: what containers use beside what they may use, again and again."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from builder.cli.session import seen_places
from builder.cli.terminal.sizes import binary
from builder.host.kernel.namespaces import require_root
from builder.host.places import Places

if TYPE_CHECKING:
    from builder.runtime.inspect.samples import Sample
    from builder.runtime.inspect.shared_memory import Report

Rows = list[tuple[str, ...]]

_SORTS: "dict[str, Callable[[Sample], float]]" = {
    "cpu": lambda one: one.rates.cpu or 0 if one.rates else 0,
    "memory": lambda one: one.use.memory.used or 0 if one.use else 0,
    "io": lambda one: _sum(one.rates.read_bytes, one.rates.written_bytes) if one.rates else 0,
    "network": lambda one: _sum(one.rates.received_bytes, one.rates.sent_bytes) if one.rates else 0,
    "pids": lambda one: one.use.pids.used or 0 if one.use else 0,
    "name": lambda _: 0,
}


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option(
    "-d", "--delay", type=click.FloatRange(0.1), default=2, metavar="SECONDS",
    help="Wait so long between refreshes.",
)  # fmt: skip
@click.option(
    "-n", "--count", type=click.IntRange(1), metavar="N", help="End after so many refreshes."
)
@click.option("--once", is_flag=True, help="The same as `-n 1`.")
@click.option(
    "--sort", type=click.Choice(list(_SORTS)), default="cpu",
    help="Put those first that use most of it.",
)  # fmt: skip
@click.option("--memory", is_flag=True, help="Show what containers of one template share.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON at each refresh.")
def top(
    names: tuple[str, ...],
    delay: float,
    count: int | None,
    once: bool,  # noqa: FBT001  # click's way
    sort: str,
    memory: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Show what running containers use beside what they may use, or those that are named."""
    if memory:
        require_root("oven top --memory")
    from builder.runtime.inspect import show

    places = seen_places()
    for name in names:
        show.row(places, name)  # refuses what is not there
    if memory:
        texts = _memory_texts(places, names, delay, as_json=as_json)
    else:
        texts = _usage_texts(places, names, delay, sort, as_json=as_json)
    wanted = itertools.islice(texts, 1 if once else count)
    try:
        if sys.stdout.isatty() and not as_json and not once:
            _refresh(wanted)
        else:
            _print(wanted, gaps=not as_json)
    except KeyboardInterrupt:
        return  # the usual way to leave


def _usage_texts(
    places: Places, names: Sequence[str], delay: float, sort: str, *, as_json: bool
) -> Iterator[str]:
    from builder.runtime.inspect.samples import samples

    for seen in samples(places, names, delay):
        ordered = sorted(seen, key=_SORTS[sort], reverse=True)
        if as_json:
            yield _as_json("containers", ordered)
        else:
            yield _usage_table(ordered)


def _memory_texts(
    places: Places, names: Sequence[str], delay: float, *, as_json: bool
) -> Iterator[str]:
    from builder.runtime.inspect.shared_memory import measure

    while True:
        report = measure(places, names)
        yield _as_json("memory", report) if as_json else _memory_table(report)
        time.sleep(delay)


def _as_json(key: str, value: object) -> str:
    import msgspec

    from builder.cli.inspect.facts import moment

    return msgspec.json.encode({"time": moment(int(time.time())), key: value}).decode()


def _usage_table(seen: "Sequence[Sample]") -> str:
    from builder.cli.terminal.table import table

    rows: Rows = [
        (
            "NAME", "CPU%", "MEMORY", "CACHE", "OOM", "PIDS", "READ/s", "WRITE/s", "RECV/s",
            "SENT/s", "DISK", "WAITS%",
        )
    ]  # fmt: skip
    rows += [_usage_row(one) for one in seen]
    return "\n".join(table(rows))


def _usage_row(one: "Sample") -> tuple[str, ...]:
    use, rates = one.use, one.rates
    if use is None:
        return (one.name, one.status, *[""] * 10)
    waits = (use.pressure.cpu, use.pressure.memory, use.pressure.io)
    return (
        one.name,
        _of(
            _whole(rates.cpu if rates else None),
            _whole(use.cpu.limit * 100 if use.cpu.limit else None),
        ),
        _of(_size(use.memory.used), _size(use.memory.limit)),
        _size(use.memory.cache),
        _whole(use.memory.oom_kills),
        _of(_whole(use.pids.used), _whole(use.pids.limit)),
        _size(rates.read_bytes if rates else None),
        _size(rates.written_bytes if rates else None),
        _size(rates.received_bytes if rates else None),
        _size(rates.sent_bytes if rates else None),
        _of(
            _size(use.disk.used_bytes if use.disk else None),
            _size(use.disk.limit_bytes if use.disk else None),
        ),
        "/".join(_whole(wait.some if wait else None) for wait in waits),
    )


def _of(used: str, limit: str) -> str:
    return used if limit == "-" else f"{used}/{limit}"


def _memory_table(report: "Report") -> str:
    from builder.cli.terminal.table import table

    rows: Rows = [("NAME", "TEMPLATE", "OWN", "FILES", "MAPPED", "SHARED", "ALONE")]
    rows += [
        (
            one.name, one.template, *map(_size, (one.own, one.files, one.mapped, one.shared)),
            _size(one.alone),
        )
        for one in report.containers
    ]  # fmt: skip
    lines = table(rows)
    for template in report.templates:
        lines.append(
            f"{template.template}: {binary(template.resident)} of its files in memory, once for "
            f"{template.containers}; {binary(template.saved)} saved"
        )
    return "\n".join(lines)


def _refresh(texts: Iterator[str]) -> None:
    """Show one text after another in the same place, and leave the last one there."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    last = ""
    try:
        with Live(console=Console(), screen=True, auto_refresh=False) as live:
            for text in texts:
                last = text
                live.update(Text(text, no_wrap=True), refresh=True)
    finally:
        click.echo(last)


def _print(texts: Iterator[str], *, gaps: bool) -> None:
    for number, text in enumerate(texts):
        click.echo(f"\n{text}" if gaps and number else text)


def _size(value: float | None) -> str:
    return "-" if value is None else binary(value)


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _sum(*values: float | None) -> float:
    return sum(value or 0 for value in values)
