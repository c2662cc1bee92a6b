"""Programs that are heard while they work."""

import os
from pathlib import Path

import pytest

from builder.host.process.hearing import hearing
from builder.host.programs import Command


def test_each_line_is_heard_when_it_comes(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    heard: list[bytes] = []

    def hear(line: bytes) -> None:
        heard.append(line)
        if line == b"one\n":
            fifo.write_text("on\n")  # it waits for this, so it was heard before the end

    script = f"echo one; read -r word <{fifo}; echo $word; echo wrong >&2; exit 3"
    done = hearing(Command(("sh", "-c", script)), hear)
    assert heard == [b"one\n", b"on\n"]
    assert (done.code, done.stdout, done.stderr) == (3, b"", b"wrong\n")


def test_on_ctrl_c_it_may_tidy_up(tmp_path: Path) -> None:
    sign = tmp_path / "tidy"
    script = f"trap 'echo done >{sign}; exit 1' INT; echo up; while :; do sleep 0.1; done"

    def interrupt(_: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hearing(Command(("sh", "-c", script)), interrupt)
    assert sign.read_text() == "done\n"
