"""Extras: what packages bring that no program needs, and a template may do without."""

from builder.model.value import Value


class Extras(Value, frozen=True, kw_only=True):
    """Which of it comes along when packages are unpacked."""

    documentation: bool = True
    """Whether manuals do; what says whose the work is always does."""
    languages: tuple[str, ...] | None = None
    """Whose translations do; None for all of them."""


ALL = Extras()
