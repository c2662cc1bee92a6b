"""The recipe's own scripts: run in the tree, one after the other, without network."""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.host.programs import Command, tell_output
from builder.model.errors import RecipeError, Span
from builder.model.interface import Json
from builder.model.recipe.content import Script
from builder.model.toml.spans import Where
from builder.model.value import Value
from builder.recipes.project import Project
from builder.stages.tree.asked import AskedError
from builder.stages.tree.overlay_files import keep_file, listed
from builder.stages.tree.secrets import mask
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
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    before_services: bool = False


class GivenFile(Value, frozen=True):
    """A file that scripts read, by its path below the recipe's folder and its bytes' sha256."""

    path: str
    content: str
    executable: bool


def read_scripts(
    scripts: tuple[Script, ...], folder: Path, store: Store, project: Project
) -> tuple[ScriptFile, ...]:
    """Look the scripts up below the recipe's folder, keeping their bytes in the store."""
    found = []
    for index, script in enumerate(scripts):
        where = ("script", index, "path")
        content = keep_program(where, script.path, folder, store, project)
        early = script.before_services
        found.append(ScriptFile(script.path, content, script.args, script.env, early))
    return tuple(found)


def keep_program(where: Where, path: str, folder: Path, store: Store, project: Project) -> str:
    """Keep a program of the recipe's, with its `#!` line, in the store; give its sha256."""
    file = folder / path
    if not project.is_file(file):
        problem = f"there is no script `{path}`"
        raise AskedError(problem, where, hint=f"its file would be `{file}`")
    with store.draft() as draft, project.opened(file) as fd:
        _interpreter(os.pread(fd, _FIRST_LINE, 0), file)
        return keep_file(fd, store, draft)


def read_given(
    scripts: tuple[Script, ...], folder: Path, store: Store, project: Project
) -> tuple[GivenFile, ...]:
    """Look up what scripts read, folders with all that is in them, and keep it in the store."""
    found: dict[str, GivenFile] = {}
    with store.draft() as draft:
        for script in scripts:
            for path in script.files:
                for one in _files_at(path, folder, project):
                    with project.opened(folder / one) as fd:
                        runs = bool(os.fstat(fd).st_mode & 0o100)
                        found[one] = GivenFile(one, keep_file(fd, store, draft), runs)
    own = {script.path for script in scripts}
    return tuple(found[path] for path in sorted(found.keys() - own))


def _files_at(path: str, folder: Path, project: Project) -> list[str]:
    if project.is_file(folder / path):
        return [path]
    if not project.is_folder(folder / path):
        raise RecipeError(
            f"there is no file or folder `{path}`", hint=f"it would be `{folder / path}`"
        )
    with project.tree(folder / path) as tree:
        # A link to a file is as good as the file, and leads nowhere outside of the project.
        found = [
            name for name, status in listed(tree, folder / path) if not stat.S_ISDIR(status.st_mode)
        ]
    return [f"{path}/{name}" for name in found]


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


def lay_out_scripts(
    scripts: tuple[ScriptFile, ...], given: tuple[GivenFile, ...], store: Store, folder: Path
) -> None:
    """Copy scripts, executable, and what they read into a folder; the store's files are not."""
    files = [*given, *(GivenFile(one.path, one.content, executable=True) for one in scripts)]
    for one in files:
        target = folder / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        blob = checked_blob(store, one.content)
        if blob is None:
            raise RecipeError(
                f"the file `{one.path}` is no longer in the store",
                hint="run the same command again",
            )
        shutil.copyfile(blob, target)
        target.chmod(0o555 if one.executable else 0o444)


def run_scripts(
    scripts: tuple[ScriptFile, ...],
    run: "Inside",
    env: Mapping[str, str],
    secrets: Mapping[str, bytes],
) -> None:
    """Run each script; the first that fails ends the build, with its output."""
    for script in scripts:
        variables = {**env, **script.env, "OVEN_FILES": SCRIPTS}
        command = Command((f"{SCRIPTS}/{script.path}", *script.args), env=variables)
        done = run.require(command, f"the script `{script.path}` failed")
        tell_output(mask(done.output, secrets))


def script_environment(
    variables: Mapping[str, Mapping[str, Json]],
) -> dict[str, str]:
    """Give what a script sees beyond what every program in a sandbox does.

    `OVEN_TEMPLATE_NAME`, `OVEN_TEMPLATE_SUMMARY`, `OVEN_BASE_DISTRO`, `OVEN_BASE_SUITE`,
    `OVEN_BASE_ARCH`, and `OVEN_PARAMETERS_<NAME>` for each parameter that has a default: text as it
    is, all else as JSON has it.
    """
    env = {}
    for group, values in variables.items():
        for name, value in values.items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            env[f"OVEN_{group}_{name}".upper()] = text
    return env
