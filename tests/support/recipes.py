"""Recipes written by tests, as an author has them beside one another."""

from pathlib import Path

HEAD = '[template]\nname = "{name}"\n'
BASE = '[base]\ndistro = "debian"\nsuite = "bookworm"\n'


def write(folder: Path, name: str, text: str) -> Path:
    """Write a recipe into a folder of theirs."""
    path = folder / "recipes" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
