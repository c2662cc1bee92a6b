"""The recipe's own scripts: run in the tree, one after the other, without network."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.host.programs import Command
from builder.model.errors import RecipeError, Span
from builder.model.recipe import Script
from builder.model.value import Value
from builder.recipes.project import Project
from builder.stages.tree.overlay import keep_file
from builder.store import Store
from builder.store.damage import checked_blob

if TYPE_CHECKING:
    from builder.host.sandbox.sandbox import Inside

SCRIPTS = "/run/oven/scripts"
"""Where the sandbox shows the scripts."""

_FIRST_LINE = 4096
"""No kernel looks further for what runs a script (execve(2) takes 255 bytes)."""


class ScriptFile(Value, frozen=True):
    """A script by its path below the recipe's folder and its bytes' sha256."""

    path: str
    content: str


def read_scripts(
    scripts: tuple[Script, ...], folder: Path, store: Store, project: Project
) -> tuple[ScriptFile, ...]:
    """Look the scripts up below the recipe's folder, keeping their bytes in the store."""
    found = []
    with store.draft() as draft:
        for script in scripts:
            file = folder / script.path
            if not project.is_file(file):
                raise RecipeError(
                    f"there is no script `{script.path}`", hint=f"its file would be `{file}`"
                )
            with project.opened(file) as fd:
                _interpreter(os.pread(fd, _FIRST_LINE, 0), file)
                found.append(ScriptFile(script.path, keep_file(fd, store, draft)))
    return tuple(found)


def _interpreter(data: bytes, at: Path) -> str:
    line = data.split(b"\n", 1)[0].decode(errors="replace")
    words = line.removeprefix("#!").split()
    if not line.startswith("#!") or not words:
        raise RecipeError(
            "a script needs a `#!` line",
            at=Span(at, 1, length=max(len(line), 1), text=line),
            hint="start it with `#!/bin/sh -eu`",
        )
    if line.endswith("\r"):
        raise RecipeError(
            "the script has Windows line ends, with which no interpreter is found",
            at=Span(at, 1),
            hint="convert it: `sed -i 's/\\r$//' FILE`",
        )
    return words[0]


def lay_out_scripts(scripts: tuple[ScriptFile, ...], store: Store, folder: Path) -> None:
    """Copy the scripts into a folder, executable; the store's own files are not."""
    for script in scripts:
        target = folder / script.path
        target.parent.mkdir(parents=True, exist_ok=True)
        blob = checked_blob(store, script.content)
        if blob is None:
            raise RecipeError(
                f"the script `{script.path}` is no longer in the store",
                hint="run the same command again",
            )
        shutil.copyfile(blob, target)
        target.chmod(0o555)


def run_scripts(scripts: tuple[ScriptFile, ...], run: "Inside", env: Mapping[str, str]) -> None:
    """Run each script; the first that fails ends the build, with its output."""
    for script in scripts:
        command = Command((f"{SCRIPTS}/{script.path}",), env=env)
        run.require(command, f"the script `{script.path}` failed")


def script_environment(
    variables: Mapping[str, Mapping[str, str | int | bool]],
) -> dict[str, str]:
    """Give what a script sees beyond what every program in a sandbox does.

    `OVEN_TEMPLATE_NAME`, `OVEN_TEMPLATE_SUMMARY`, `OVEN_BASE_DISTRO`, `OVEN_BASE_SUITE`,
    `OVEN_BASE_ARCH`, and `OVEN_PARAMETERS_<NAME>` for each parameter, truths as `true` and `false`.
    """
    env = {}
    for group, values in variables.items():
        for name, value in values.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            env[f"OVEN_{group}_{name}".upper()] = text
    return env
