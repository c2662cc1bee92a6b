"""Small projects with a recipe of their own, for building what nobody ships."""

from pathlib import Path

TINY = """\
[template]
name = "tiny"
summary = "Debian's minimum, with nothing on it"

[base]
distro = "debian"
suite = "bookworm"
"""


def project(folder: Path, text: str = TINY, *, name: str = "tiny") -> Path:
    """Write a recipe into a project folder; give the recipe's path."""
    path = folder / "recipes" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def with_script(folder: Path, script: str) -> Path:
    """Write a project whose recipe runs a script; give the recipe's path."""
    path = project(folder, f'{TINY}\n[[script]]\npath = "script"\n')
    file = path.parent / "tiny" / "script"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return path
