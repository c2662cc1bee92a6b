"""The real `oven` command as a person types it, with a home of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent

PATIENCE = 600
"""Seconds after which a command counts as stuck; nothing here takes a tenth of it."""


@dataclass(frozen=True)
class Oven:
    """Runs `oven` with everything it keeps below one folder."""

    home: Path
    argv: tuple[str, ...] = (sys.executable, "-m", "builder")
    cwd: Path = CHECKOUT
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str | Path, code: int = 0, stdin: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run to the end; another exit status than `code` fails the test and shows all."""
        done = subprocess.run(
            self.line(*arguments),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            cwd=self.cwd,
            env=self.environment,
        )
        called = text(os.fsencode(" ".join(map(str, arguments))))
        shown = f"{called}\n{text(done.stdout)}\n{text(done.stderr)}"
        assert done.returncode == code, f"status {done.returncode}, not {code}: oven {shown}"
        assert b"Traceback" not in done.stderr, shown
        return done

    def start(self, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        """Start it in a process group of its own, as a shell does."""
        return subprocess.Popen(
            self.line(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            cwd=self.cwd,
            # Where it is stuck, `finished` has it say where.
            env={**self.environment, "PYTHONFAULTHANDLER": "1"},
        )

    def json(self, *arguments: str | Path) -> object:
        """Run with `--json` and give what it printed."""
        value: object = json.loads(self(*arguments, "--json").stdout)
        return value

    def said(self, *arguments: str | Path, code: int = 0) -> str:
        """Run it and give what it told a person."""
        return text(self(*arguments, code=code).stderr)

    def sha256(self, *arguments: str | Path) -> str:
        """Build, and give the hash of the one tarball."""
        rows = self.json("build", *arguments)
        assert isinstance(rows, list)
        return str(rows[0]["sha256"])

    def having(self, **env: str) -> "Oven":
        """Give the same with more in its environment."""
        return replace(self, env={**self.env, **env})

    def line(self, *arguments: str | Path) -> list[str]:
        return [*self.argv, *map(str, arguments)]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "OVEN_HOME": str(self.home), **self.env}


def text(data: bytes) -> str:
    return data.decode(errors="replace")


def wait_for_line(process: "subprocess.Popen[bytes]", word: str) -> list[str]:
    """Read what a command says until a line holds `word`; give the lines."""
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(text(line))
        if word in lines[-1]:
            return lines
    shown = "".join(lines)
    msg = f"`{word}` was never said; the command ended with {process.wait()} and said:\n{shown}"
    raise AssertionError(msg)


def end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> tuple[int, str]:
    """Signal the whole process group, as a terminal does for Ctrl-C; give status and words."""
    os.killpg(process.pid, number)
    output = finished(process)
    return process.returncode, output


def finished(process: "subprocess.Popen[bytes]", patience: float = 60) -> str:
    """Wait for the end of a command that was started, and give its words; one that is stuck fails.

    Then it shows what it was doing (faulthandler).
    """
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        output, _ = process.communicate()
        msg = f"it has not ended after {patience:g} seconds, and did this:\n{text(output)}"
        raise AssertionError(msg) from None
    return text(output)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill only `oven` itself, as the kernel does when memory is short; it cannot tidy up."""
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
