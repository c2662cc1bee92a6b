"""Journals that somebody else wrote, read by journalctl where it can do no harm."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builder.host.programs import Command, find_program, missing_program, start
from builder.host.sandbox.stranger import powerless
from builder.model.errors import HostError

_INSIDE = "/journal"
_LONGEST = 1 << 20
"""Bytes of a line that are shown as one; a hostile journal may have a line without end."""


def options(since: float, count: int | None, unit: str | None) -> tuple[str, ...]:
    """Give the options of journalctl for what is wanted."""
    found = ["--no-pager", "--quiet", "--output=short-iso"]
    if since:
        found.append(f"--since=@{int(since)}")
    if count is not None:
        found.append(f"--lines={count}")
    if unit is not None:
        found.append(f"--unit={unit}")
    return tuple(found)


def lines(folder: Path, words: tuple[str, ...]) -> Iterator[bytes]:
    """Give the lines of the journal in a folder.

    The program has no network, sees the host's programs and that folder, all of it read-only, and
    may read files whoever owns them; every other right of root's is gone.
    """
    if find_program("journalctl") is None:
        raise missing_program("journalctl")
    argv = (
        *powerless("CAP_DAC_OVERRIDE"), "--ro-bind", str(folder), _INSIDE, "--",
        "journalctl", f"--directory={_INSIDE}", *words,
    )  # fmt: skip
    with tempfile.TemporaryFile() as complaints:
        command = Command(argv)
        process = start(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        )
        with process:
            try:
                stream = process.stdout
                assert stream is not None
                yield from iter(lambda: stream.readline(_LONGEST), b"")
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        if code != 0:
            complaints.seek(0)
            said = complaints.read(4096).decode(errors="replace").strip()
            raise HostError(f"the journal cannot be read: {said or f'status {code}'}")
