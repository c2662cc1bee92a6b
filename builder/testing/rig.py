"""The rig: a network without a way out, and all that was started on it, gone when tests end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builder.host.network.overheard import Questions
from builder.host.pids import undisturbed
from builder.host.programs import Done
from builder.model.interface import Json
from builder.testing.appliance import Appliance
from builder.testing.container import Container, Instance, fresh_name
from builder.testing.verbs import attempt, options, oven

if TYPE_CHECKING:
    from builder.testing.world import World

# Whatever else tests need beside an instance, such as a client or name servers, joins the same
# network by `boot`, and is found there by its name.


@dataclass
class Rig:
    """One run's network and containers."""

    appliance: Appliance
    network: str
    questions: Questions
    """What its containers ask name servers."""
    logs: Path
    """Where it is written down what containers said whose tests failed."""
    keep: bool = False
    """Whether containers of failed tests stay."""
    world: "World | None" = None
    """What its containers live in, when a test wants that."""
    started: list[Container] = field(default_factory=list)
    kept: list[Container] = field(default_factory=list)

    def boot(self, container: Container, template: str) -> None:
        """Start a container beside the instances."""
        self.started.append(container)  # before it is there: Ctrl-C may come in between
        oven("run", template, "--name", container.name, "--network", self.network)

    def instance(self, answers: Mapping[str, Json]) -> Instance:
        """Start an instance; `problem` says why it has not become ready."""
        made = self._named(answers)
        words = ("run", self.appliance.name, "--name", made.name, "--network", self.network)
        with options(answers) as given:
            return _ready(made, attempt(*words, *given))

    def clone(self, source: Instance) -> Instance:
        """Copy an instance, and start the copy."""
        copy = self._named(source.answers)
        oven("clone", source.name, copy.name)
        return _ready(copy, attempt("start", copy.name))

    @property
    def others(self) -> list[Container]:
        """What was started beside instances."""
        return [one for one in self.started if not isinstance(one, Instance)]

    def _named(self, answers: Mapping[str, Json]) -> Instance:
        made = Instance(fresh_name(self.appliance.name), answers, self.appliance.made_up)
        self.started.append(made)
        return made

    def note_failure(self, test: str, containers: list[Container], report: str) -> None:
        """Write down what a test's containers said, and keep them when that is wished."""
        folder = self.logs / test
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(report, encoding="utf-8")
        for one in containers:
            for kind, words in (("journal", ("--journal",)), ("console", ())):
                done = attempt("logs", one.name, *words)
                (folder / f"{one.name}.{kind}").write_bytes(done.stdout + done.stderr)
            if self.keep and one not in self.kept:
                self.kept.append(one)

    def remove(self, *containers: Container) -> None:
        """Remove containers, but for those that are kept."""
        gone = [one for one in containers if one in self.started and one not in self.kept]
        if gone:
            attempt("destroy", "--force", "--volumes", *(one.name for one in gone))
            self.started = [one for one in self.started if one not in gone]


def _ready(instance: Instance, done: Done) -> Instance:
    instance.problem = "" if done.code == 0 else done.output.strip()
    return instance


@contextmanager
def rig(appliance: Appliance, logs: Path, *, keep: bool) -> Iterator[Rig]:
    """Lend a rig; when the block ends, all is gone that is not kept."""
    one = Rig(appliance, fresh_name(appliance.name), Questions(), logs, keep)
    try:
        oven("network", "create", one.network, "--internal")
        yield one
    finally:
        with undisturbed():  # whoever presses Ctrl-C twice wants it gone, too
            one.questions.close()
            one.remove(*one.started)
            if not one.kept:
                attempt("network", "rm", one.network)
