"""Containers as tests see them: the client's side by network, and the inside by `exec`."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from builder.host.places import Places
from builder.host.programs import Done
from builder.model.instance import Instance as Told
from builder.model.interface import Json
from builder.testing.verbs import attempt, expected, options, oven

PATIENCE = 30.0
"""Seconds within which what comes back has come back."""
_PAUSE = 0.2


@dataclass
class Container:
    """A container that a test works with."""

    name: str
    """What it is called on its network, too."""

    def attempt(self, *command: str, user: str = "root", stdin: bytes = b"") -> Done:
        """Run a command inside, and give how it ended."""
        return attempt("exec", "-u", user, self.name, "--", *command, stdin=stdin)

    def exec(self, *command: str, user: str = "root", stdin: bytes = b"", code: int = 0) -> str:
        """Run a command inside that ends with `code`, and give what it prints."""
        __tracebackhide__ = True
        return expected(self.attempt(*command, user=user, stdin=stdin), " ".join(command), code)

    @property
    def facts(self) -> dict[str, Any]:
        """What `oven show --json` says."""
        found: dict[str, Any] = json.loads(oven("show", self.name, "--json"))
        return found

    @property
    def address(self) -> str:
        """Its IPv4 address on the network of the tests."""
        return str(self.facts["address"])

    def journal(self, *, unit: str | None = None, priority: str | None = None) -> list[str]:
        """Give the lines of its journal, such as those of priority `err` and above."""
        words = ["journalctl", "--no-pager", "--quiet", "--output", "short"]
        words += ["--unit", unit] if unit else []
        words += ["--priority", priority] if priority else []
        return self.exec(*words).splitlines()


class Health(msgspec.Struct, frozen=True):
    """What came of one probe."""

    probe: str
    healthy: bool
    reason: str | None = None


@dataclass
class Instance(Container):
    """An instance of the appliance under test."""

    answers: Mapping[str, Json] = field(default_factory=dict)
    """What it was answered when it was made."""
    made_up: Sequence[str] = ()
    """The parameters that have a value made up for it, unless they are answered."""
    problem: str = ""
    """Why it has not become ready; nothing where it has."""

    def configure(self, answers: Mapping[str, Json]) -> str:
        """Change answers by `oven configure`; give what that says. All others stay."""
        __tracebackhide__ = True
        with options(answers) as given:
            done = attempt("configure", self.name, *given)
        expected(done, "oven configure")
        return done.output

    def health(self, level: str = "deep") -> list[Health]:
        """Ask its probes: `live`, `ready` or `deep`."""
        done = attempt("health", self.name, "--level", level, "--json")
        if done.code not in {0, 1}:
            expected(done, "oven health")
        return msgspec.json.decode(done.stdout or b"[]", type=list[Health])

    @property
    def ailing(self) -> dict[str, str]:
        """The probes that fail, and why."""
        return {one.probe: one.reason or "it fails" for one in self.health() if not one.healthy}

    def restart(self) -> None:
        """Reboot it, and wait until it is ready."""
        __tracebackhide__ = True
        oven("restart", self.name)

    def files(self) -> Sequence[str]:
        """List what it was given of the appliance's folder `instance`."""
        told = self._told()
        return [f"/{one.path}" for one in told.files] if told else []

    def secrets(self) -> Mapping[str, str]:
        """Give what is for it alone: its secrets, and answers that were made up."""
        if (told := self._told()) is None:
            return {}
        names = [name for name in self.made_up if name not in told.answers.given]
        return {**told.secrets, **{name: str(told.answers.values[name]) for name in names}}

    def _told(self) -> Told | None:
        from builder.runtime.record import instances

        return instances.read(Places.of_user(), self.name)


def eventually(holds: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until something holds; False when it does not in time."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def fresh_name(what: str) -> str:
    """Give a container's or network's name that nobody else on this machine has."""
    return f"test-{what[:20]}-{os.urandom(3).hex()}"
