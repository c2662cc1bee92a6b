"""Pieces: a recipe file with all that it includes, and what is chosen of it, made into one."""

from difflib import get_close_matches
from pathlib import Path

from builder.model.errors import RecipeError, Span
from builder.model.names import IncludePath, PartOfRecipe, ProfileName
from builder.model.recipe import Matrix, Recipe
from builder.model.toml.decode import decode_data, parse
from builder.model.toml.source import MOST_VALUES, Source, count_values
from builder.model.value import Value
from builder.recipes.compose import Composite, Piece, Table, compose
from builder.recipes.matrix import Chosen, cells, check_matrix, decided, named
from builder.recipes.project import Project, project_of
from builder.recipes.reading import read_authored

OWN, SELECTED = 1, 2
"""Ranks: what a file says counts more than what it includes, and a profile more than both."""

MOST_FILES = 100
"""So many files may a recipe be made of, each counted as often as it is included."""

MOST_PROFILES = 100


class _Selection(Value, frozen=True, kw_only=True):
    """The keys that say what else a recipe is made of."""

    include: tuple[IncludePath, ...] = ()
    profiles: tuple[ProfileName, ...] = ()
    profile: dict[ProfileName, PartOfRecipe] = {}
    matrix: Matrix | None = None


def pieces(path: Path, chosen: Chosen) -> tuple[Table, Source]:
    """Read a recipe file; give what it says, and where each value of it stands."""
    data, source, selection = _read(path)
    if selection == _Selection() and not chosen.profiles:
        return data, source
    if selection.matrix and chosen.suite is None and chosen.variant is None:
        chosen = _only_cell(selection.matrix, data, source, chosen)
    on = tuple(dict.fromkeys((*selection.profiles, *chosen.profiles)))
    found = [Piece(data, source, OWN)]
    found += [_profile(name, selection, source, chosen) for name in on]
    for name in [one for one in selection.profile if one not in on]:
        # A mistake in a profile is told now, and not on the day that somebody wants it.
        unused = compose([found[0], _profile(name, selection, source, chosen)], source)
        decode_data(*_with_cell(*unused, selection.matrix, chosen), Recipe)
    return _with_cell(*compose(found, source), selection.matrix, chosen)


def cells_of(path: Path, profiles: tuple[str, ...]) -> tuple[Chosen, ...]:
    """Give what can be chosen of a recipe file: the cells of its matrix, or the whole of it."""
    _, _, selection = _read(path)
    if selection.matrix is None:
        return (Chosen(profiles),)
    return cells(selection.matrix, profiles)


def _read(path: Path) -> tuple[Table, Source, _Selection]:
    """Read a file and what it includes; give the keys about that apart."""
    data, source = _composed(path, (), project_of(path), [])
    own = {key: data.pop(key) for key in _Selection.__struct_fields__ if key in data}
    selection = decode_data(own, source, _Selection)
    if len(selection.profile) > MOST_PROFILES:
        problem = f"the recipe has more than {MOST_PROFILES} profiles"
        raise RecipeError(problem, at=source.key("profile"))
    if selection.matrix:
        template = data.get("template")
        name = template.get("name") if isinstance(template, dict) else None
        check_matrix(selection.matrix, name, source)
        base = data.get("base")
        for axis in ("suite", "arch"):
            if getattr(selection.matrix, axis) and isinstance(base, dict) and axis in base:
                raise RecipeError(
                    f"the matrix decides on the {axis}",
                    at=source.key("base", axis),
                    hint="keep it in one of the two",
                )
    return data, source, selection


def _composed(
    path: Path, above: tuple[Path, ...], project: Project, sizes: list[int]
) -> tuple[Table, Source]:
    """Read a file and what it includes; `sizes` has the values of each file that was read."""
    source = read_authored(path, project)
    data = parse(source)
    sizes.append(count_values(data))
    if sum(sizes) > MOST_VALUES:
        problem = f"with what it includes, the recipe has more than {MOST_VALUES} values"
        raise RecipeError(problem, at=source.path)
    if "include" not in data:
        return data, source
    includes = decode_data({"include": data["include"]}, source, _Selection).include
    chain = (*above, path.resolve())
    below = []
    for index, name in enumerate(includes):
        file = path.parent / name
        at = source.value("include", index)
        if file.resolve() in chain:
            raise RecipeError(f"`{name}` includes itself", at=at)
        if not project.exists(file):
            raise RecipeError(f"there is no file `{file}`", at=at)
        if len(sizes) == MOST_FILES:
            raise RecipeError(
                f"the recipe includes more than {MOST_FILES} files",
                at=at,
                hint="a file counts as often as it is included",
            )
        inner, place = _composed(file, chain, project, sizes)
        if "matrix" in inner:
            raise RecipeError("a matrix cannot be included", at=place.key("matrix"))
        below.append(Piece({k: v for k, v in inner.items() if k != "include"}, place, 0))
    return compose([*below, Piece(data, source, OWN)], source)


def _profile(name: str, selection: _Selection, source: Source, chosen: Chosen) -> Piece:
    if name in selection.profile:
        return Piece(selection.profile[name], source, SELECTED, ("profile", name))
    known = list(selection.profile)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known)}"
    at: Span | Path = source.path
    if name in selection.profiles:
        at = source.value("profiles", selection.profiles.index(name))
    elif name == chosen.variant and selection.matrix:
        at = source.value("matrix", "variant", selection.matrix.variant.index(name))
    raise RecipeError(f"there is no profile `{name}`", at=at, hint=hint if known else None)


def _only_cell(matrix: Matrix, data: Table, source: Source, chosen: Chosen) -> Chosen:
    found = cells(matrix, chosen.profiles)
    if len(found) > 1:
        names = ", ".join(_name_of(data, cell) for cell in found)
        raise RecipeError(
            f"this is a matrix of {len(found)} recipes",
            at=source.key("matrix"),
            hint=f"choose one with `--only`: {names}",
        )
    return found[0]


def _name_of(data: Table, chosen: Chosen) -> str:
    template = data.get("template")
    name = template.get("name") if isinstance(template, dict) else None
    return named(str(name), chosen)


def _with_cell(
    data: Table, source: Composite, matrix: Matrix | None, chosen: Chosen
) -> tuple[Table, Source]:
    """Write into the recipe what its cell of the matrix decides."""
    if matrix is None:
        return data, source
    if isinstance(template := data.get("template"), dict) and "name" in template:
        template["name"] = _name_of(data, chosen)
    base = data.setdefault("base", {})
    origins = dict(source.origins)
    for key, value, index in decided(matrix, chosen):
        if isinstance(base, dict):
            base[key] = value
        origins["base", key] = source, ("matrix", key, index)
    return data, Composite(source.path, source.text, origins)
