"""Finding a recipe or an appliance by its name, or by the path of its file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from builder.host.places import shipped
from builder.model.errors import NotFoundError, RecipeError

Kind = Literal["recipes", "appliances"]
"""A folder that recipes lie in: `recipes/NAME.toml`, `appliances/NAME/appliance.toml`."""

KINDS: tuple[Kind, ...] = ("recipes", "appliances")


def find(name: str, kinds: Sequence[Kind] = KINDS, *, beside: Path | None = None) -> Path:
    """Give the TOML file of a recipe or appliance.

    A path is taken as it is. A name is looked up beside the recipe that says it (`beside`), then in
    the current folder's `recipes/` and `appliances/`, then among the shipped ones.
    """
    try:
        if (path := _as_path(name)) is not None:
            return path
        for folder in _folders(kinds, beside):
            if (path := _in_folder(folder, name)) is not None:
                return path
    except OSError as error:  # a folder that may not be entered, or a name that is too long
        reason = (error.strerror or str(error)).lower()
        raise RecipeError(f"`{name[:60]}` cannot be looked up: {reason}") from error
    raise _not_found(name, kinds, beside)


def known(kinds: Sequence[Kind] = KINDS, *, beside: Path | None = None) -> list[str]:
    """Give the names that `find` knows, each once."""
    names: dict[str, None] = {}
    for folder in _folders(kinds, beside):
        names |= dict.fromkeys(sorted(path.stem for path in folder.glob("*.toml")))
        names |= dict.fromkeys(sorted(p.parent.name for p in folder.glob("*/appliance.toml")))
    return list(names)


def files_in(folder: Path) -> list[Path]:
    """Give the TOML files of all recipes and appliances in a folder, sorted."""
    return sorted([*folder.glob("*.toml"), *folder.glob("*/appliance.toml")])


def _as_path(name: str) -> Path | None:
    """See a name as a path when it looks like one; what looks like one must exist."""
    path = Path(name)
    if (path / "appliance.toml").exists():
        return path / "appliance.toml"
    if name.endswith(".toml"):
        if path.is_dir():
            raise RecipeError(f"`{name}` is a folder, not a file", at=path)
        if not path.exists():
            raise NotFoundError(f"there is no file `{name}`", hint=_nearest_file(path))
        return path
    if "/" not in name and name not in {".", ".."}:
        return None
    if path.is_dir():
        raise NotFoundError(f"there is no appliance.toml in `{name}`")
    if path.exists():
        raise RecipeError(f"`{name}` is not a recipe: its name does not end in `.toml`", at=path)
    raise NotFoundError(f"there is no file or folder `{name}`", hint=_nearest_file(path))


def _nearest_file(path: Path) -> str | None:
    from difflib import get_close_matches

    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    nearest = get_close_matches(path.name, names, n=1)
    return f"did you mean `{folder / nearest[0]}`?" if nearest else None


def _folders(kinds: Sequence[Kind], beside: Path | None) -> Iterator[Path]:
    if beside is not None:
        # An appliance's file is PROJECT/appliances/NAME/appliance.toml, a recipe's
        # PROJECT/recipes/NAME.toml; what it builds on is found wherever the command is run.
        folder = beside.absolute().parent
        project = folder.parent.parent if beside.name == "appliance.toml" else folder.parent
        yield from (project / kind for kind in kinds)
        yield folder
    yield from (Path(kind) for kind in kinds)
    yield from (shipped(kind) for kind in kinds)


def _in_folder(folder: Path, name: str) -> Path | None:
    for path in (folder / f"{name}.toml", folder / name / "appliance.toml"):
        if path.is_file():
            return path
    return None


def _not_found(name: str, kinds: Sequence[Kind], beside: Path | None) -> NotFoundError:
    from difflib import get_close_matches

    names = known(kinds, beside=beside)
    nearest = get_close_matches(name, names, n=3, cutoff=0.5)
    what = " or ".join(kind.removesuffix("s") for kind in kinds)
    if nearest:
        hint = f"did you mean {' or '.join(f'`{word}`' for word in nearest)}?"
    else:
        hint = f"known here: {', '.join(names)}" if names else "give the path of its .toml file"
    return NotFoundError(f"there is no {what} `{name}`", hint=hint)
