"""Trials: one build under chosen conditions, told to a process of its own and told back by it."""

from builder.model.value import Value


class Conditions(Value, frozen=True, kw_only=True):
    """What a build must not depend on, and how it is for one build; None leaves it as it is."""

    first_id: int | None = None
    """The id on this machine that is root in the build."""
    processors: int | None = None
    """How many of them may be used."""
    jobs: int = 1
    """How many things are done at once."""
    umask: int = 0o022
    hostname: str | None = None
    uptime: int = 0
    """Seconds added to how long the machine is up, as programs in the sandbox see it."""
    env: dict[str, str] = {}
    """What Oven itself is started with."""


class BuildTrial(Value, frozen=True, kw_only=True):
    """All that the process is told."""

    recipe: str
    """The path of its file."""
    lock: str
    cache: str
    driver: str
    conditions: Conditions
    keyring: str | None = None
    """The file of keys that its packages are signed with, where they are signed one by one."""


class MadeStage(Value, frozen=True, kw_only=True):
    """What one stage was given and what it made, as JSON values."""

    stage: str
    slot: str
    inputs: dict[str, object]
    result: dict[str, object]

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.stage} {self.slot.rpartition('/')[2]}"


class Failure(Value, frozen=True, kw_only=True):
    """Why a build failed, as its error says it."""

    problem: str
    hint: str | None = None
    command: str | None = None
    output: str = ""
    code: int = 6


class TrialOutcome(Value, frozen=True, kw_only=True):
    """All that the process tells."""

    made: tuple[MadeStage, ...] = ()
    failure: Failure | None = None
