"""Matrices: one recipe file that stands for many recipes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from builder.model.errors import RecipeError
from builder.model.recipe import Arch, Matrix
from builder.model.toml.source import Source

_MOST = 256
"""So many cells may a matrix have, and so many exclusions."""

_AXIS = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is chosen of a recipe file: the profiles that are on, and one cell of its matrix."""

    profiles: tuple[str, ...] = ()
    suite: str | None = None
    variant: str | None = None
    archs: tuple[Arch, ...] = ()
    """Those of the cell; none when the matrix does not say."""

    @property
    def axes(self) -> dict[str, str]:
        """The names that stand in braces in the template's name, and what they stand for."""
        axes = {"suite": self.suite, "variant": self.variant}
        return {axis: value for axis, value in axes.items() if value is not None}


def cells(matrix: Matrix, profiles: tuple[str, ...] = ()) -> tuple[Chosen, ...]:
    """Give the cells of a matrix in the order of its axes; `profiles` are on in all of them.

    Architectures make no cells of their own: one recipe can be built for several.
    """
    found = []
    for suite, variant in product(matrix.suite or (None,), matrix.variant or (None,)):
        named = {"suite": suite, "variant": variant}
        archs = [arch for arch in matrix.arch if not _excluded(matrix, {**named, "arch": arch})]
        if archs or not (matrix.arch or _excluded(matrix, named)):
            on = (*profiles, variant) if variant else profiles
            found.append(Chosen(on, suite, variant, tuple(archs)))
    return tuple(found)


def check_matrix(matrix: Matrix, name: object, source: Source) -> None:
    """Raise RecipeError unless each cell has a name of its own and every exclusion means one."""
    many = max(1, len(matrix.suite)) * max(1, len(matrix.variant))
    if many > _MOST or len(matrix.exclude) > _MOST or len(matrix.arch) > len(Arch):
        problem = f"a matrix has at most {_MOST} cells and {_MOST} exclusions"
        raise RecipeError(problem, at=source.key("matrix"))
    said = set(_AXIS.findall(name)) if isinstance(name, str) else set()
    at = source.value("template", "name")
    for axis in said - {"suite", "variant"}:
        raise RecipeError(
            f"`{{{axis}}}` is no axis of a name", at=at, hint="there are: {suite}, {variant}"
        )
    for axis, values in (("suite", matrix.suite), ("variant", matrix.variant)):
        if axis in said and not values:
            raise RecipeError(f"the matrix has no `{axis}` that the name could be made of", at=at)
        if len(values) > 1 and axis not in said:
            raise RecipeError(
                f"all cells of `{axis}` would have the same name",
                at=at,
                hint=f"put `{{{axis}}}` into it",
            )
    for index, row in enumerate(matrix.exclude):
        for axis, value in row.items():
            if value not in getattr(matrix, axis):
                raise RecipeError(
                    f"the matrix has no {axis} `{value}`",
                    at=source.value("matrix", "exclude", index, axis),
                )
    if not cells(matrix):
        raise RecipeError("the matrix excludes all of its cells", at=source.key("matrix"))


def named(template: str, chosen: Chosen) -> str:
    """Make a cell's name."""
    return _AXIS.sub(lambda found: chosen.axes.get(found[1], found[0]), template)


def decided(matrix: Matrix, chosen: Chosen) -> Iterator[tuple[str, object, int]]:
    """Give the keys of `[base]` that a cell decides: which, what, and the place in the axis."""
    if chosen.suite is not None:
        yield "suite", chosen.suite, matrix.suite.index(chosen.suite)
    for arch in chosen.archs[:1]:
        yield "arch", [str(one) for one in chosen.archs], matrix.arch.index(arch)


def _excluded(matrix: Matrix, cell: dict[str, str | None]) -> bool:
    """Tell whether a row of `exclude` says nothing that the cell does not say."""
    return any(
        all(cell.get(axis) == value for axis, value in row.items()) for row in matrix.exclude
    )
