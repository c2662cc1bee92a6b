"""Health probes of a recipe: each has what its kind needs, and nothing that it does not know."""

import msgspec

from builder.model.errors import RecipeError
from builder.model.health import ALWAYS, KINDS, HealthProbe
from builder.model.recipe import Recipe
from builder.model.toml.source import Source


def check(recipe: Recipe, source: Source) -> None:
    """Hold all probes against their kinds."""
    names = [one.name for one in recipe.health]
    for index, probe in enumerate(recipe.health):
        if probe.name in names[:index]:
            raise RecipeError(
                f"there are two probes `{probe.name}`", at=source.value("health", index, "name")
            )
        _check_keys(probe, source, index)
        _check_values(probe, source, index)


def _check_keys(probe: HealthProbe, source: Source, index: int) -> None:
    required, optional, _ = KINDS[probe.kind]
    said = [
        field.encode_name
        for field in msgspec.structs.fields(HealthProbe)
        if getattr(probe, field.name) != field.default
    ]
    for key in said:
        if key not in {*ALWAYS, *required, *optional}:
            known = ", ".join((*required, *optional))
            raise RecipeError(
                f"a probe of the kind `{probe.kind}` knows no `{key}`",
                at=source.key("health", index, key),
                hint=f"it knows: {known}",
            )
    for key in required:
        if key not in said:
            raise RecipeError(
                f"a probe of the kind `{probe.kind}` needs `{key}`",
                at=source.value("health", index, "kind"),
            )
    if probe.kind == "file" and not (probe.age or probe.contains):
        raise RecipeError(
            "a probe of a file needs `age` or `contains`",
            at=source.value("health", index, "kind"),
            hint="`age` is how old it may be, `contains` what must be in it",
        )


def _check_values(probe: HealthProbe, source: Source, index: int) -> None:
    if isinstance(probe.port, str) and "{{" not in probe.port and not probe.port.isdigit():
        raise RecipeError(
            f"`{probe.port}` is no port",
            at=source.value("health", index, "port"),
            hint="a number, or `{{ parameters.NAME }}`",
        )
    if probe.tls and probe.starttls:
        raise RecipeError(
            "`tls` and `starttls` exclude each other",
            at=source.key("health", index, "starttls"),
            hint="`tls` speaks it from the first byte on",
        )
    if probe.path and not probe.path.startswith(("/", "{{")):
        raise RecipeError(
            f"`{probe.path}` does not start with `/`", at=source.value("health", index, "path")
        )
    for key in ("names", "days"):
        has_tls = probe.kind == "tls" or probe.tls or probe.starttls
        if getattr(probe, key) and not has_tls and not (probe.kind == "http" and key == "names"):
            raise RecipeError(
                f"without TLS there is no certificate, so `{key}` means nothing",
                at=source.key("health", index, key),
                hint="say `tls = true`",
            )
