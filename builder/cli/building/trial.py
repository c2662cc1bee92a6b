"""One build under chosen conditions, in a process of its own: what `oven prove` starts twice."""

import sys
from pathlib import Path

import msgspec

from builder.build import build
from builder.distros import MirrorSettings
from builder.host.kernel.namespaces import enter_namespace
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.host.sandbox.variations import apply
from builder.model.errors import OvenError, StageError
from builder.model.progress import Silent
from builder.model.trial import BuildTrial, Failure, MadeStage, TrialOutcome
from builder.model.value import Value
from builder.recipes.load import load_file
from builder.recipes.lock_files import read_lock
from builder.recipes.request import BuildRequest, asked_for, sources_of
from builder.stages.tarball import tarball_sources
from builder.stages.tools import Tools
from builder.store import Store


def main() -> None:
    """Read a `BuildTrial` from stdin, do it, and write its `TrialOutcome` to stdout."""
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=BuildTrial)
    made: list[MadeStage] = []
    failure = None
    try:
        apply(trial.conditions)
        enter_namespace()
        _build(trial, made)
    except OvenError as error:
        failure = _failure(error)
    outcome = TrialOutcome(made=tuple(made), failure=failure)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _build(trial: BuildTrial, made: list[MadeStage]) -> None:
    report = Silent()

    def note(stage: str, slot: str, inputs: Value, result: Value, /) -> None:
        given, gave = (msgspec.to_builtins(one) for one in (inputs, result))
        made.append(MadeStage(stage=stage, slot=slot, inputs=given, result=gave))

    tools = Tools(
        store=Store(Path(trial.cache)),
        run=on_host,
        net=Net(report),
        report=report,
        jobs=trial.conditions.jobs,
        witness=note,
    )
    loaded = load_file(Path(trial.recipe))
    lock = read_lock(Path(trial.lock))
    asked = asked_for(loaded, lock.asked.arch)
    if not asked.known:
        sources = tarball_sources(Path(trial.cache))
    else:
        keyrings = {asked.distro: trial.keyring} if trial.keyring else {}
        settings = MirrorSettings(keyrings=keyrings)
        sources = sources_of(loaded, asked, settings, Path(trial.cache))
    order = BuildRequest(loaded=loaded, arch=asked.arch, lock=lock)
    build(order, sources, tools, driver=trial.driver)


def _failure(error: OvenError) -> Failure:
    told = Failure(problem=error.problem, hint=error.hint, code=error.exit_code)
    if isinstance(error, StageError):
        return msgspec.structs.replace(told, command=error.command, output=error.output)
    return told


if __name__ == "__main__":
    main()
