"""What a table of the recipe asks of a tree, and cannot be had."""

from builder.model.errors import RecipeError
from builder.model.toml.spans import Where


class AskedError(RecipeError):
    """What a recipe says cannot be done to this tree; `where` is the key that says it."""

    def __init__(self, problem: str, where: Where, *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.where = where
