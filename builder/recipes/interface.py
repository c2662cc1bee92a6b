"""Interfaces: what a recipe and those that it stands on say of their instances, made one."""

from collections.abc import Mapping

import msgspec

from builder.appliance import instance, schema
from builder.appliance.checking import FORMATS, SchemaError, mistakes
from builder.model.errors import RecipeError
from builder.model.interface import Interface, Parameter, Schema
from builder.model.recipe import Recipe
from builder.model.toml.source import Source
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.request import layers


def interface_of(loaded: LoadedRecipe) -> Interface:
    """Join the interfaces of all layers: of two that say the same, the higher one counts."""
    made = Interface()
    for layer in layers(loaded):
        recipe = layer.recipe
        made = Interface(
            parameters={**made.parameters, **recipe.parameters},
            secrets={**made.secrets, **recipe.secrets},
            services={**made.services, **recipe.services.config},
            asserts=(*made.asserts, *recipe.assert_),
            instance=made.instance or _has_instance(layer),
            files=(*made.files, *(recipe.file if _has_instance(layer) else ())),
        )
    return made


def _has_instance(layer: LoadedRecipe) -> bool:
    return layer.project.is_folder(layer.folder / instance.SOURCES)


def check(recipe: Recipe, source: Source) -> None:
    """Hold the schemas of parameters against JSON Schema, and their defaults against them."""
    if both := set(recipe.parameters) & set(recipe.secrets):
        name = min(both)
        raise RecipeError(
            f"`{name}` is a parameter, too",
            at=source.key("secrets", name),
            hint="say `secret = true` and `generate` in the parameter, and leave this out",
        )
    # One call for all of them: each costs a process.
    form = {name: schema.of_parameter(one) for name, one in recipe.parameters.items()}
    values = {
        name: one.default
        for name, one in recipe.parameters.items()
        if one.default is not msgspec.UNSET
    }
    if not form:
        return
    for name, parameter in recipe.parameters.items():
        _check_words(name, parameter, source)
    try:
        found = mistakes({"properties": form}, values)
    except SchemaError:
        raise _blamed(form, source) from None
    if found:
        where = found[0].where
        raise RecipeError(
            f"the default of `{where[0]}` is not what the parameter allows: {found[0].said}",
            at=source.value("parameters", where[0], "default", *where[1:]),
        )


def _blamed(form: Mapping[str, Schema], source: Source) -> RecipeError:
    for name, one in form.items():
        try:
            mistakes(one, {})
        except SchemaError as error:
            return RecipeError(
                f"this is not JSON Schema: {error}",
                at=source.key("parameters", name),
                hint="the words are those of JSON Schema, draft 2020-12",
            )
    return RecipeError("the parameters together are too much", at=source.key("parameters"))


def _check_words(name: str, parameter: Parameter, source: Source) -> None:
    if parameter.format and parameter.format not in FORMATS:
        raise RecipeError(
            f"there is no format `{parameter.format}`",
            at=source.value("parameters", name, "format"),
            hint=f"there are: {', '.join(sorted(FORMATS))}; `pattern` says anything else",
        )
    if parameter.generate and schema.type_of(parameter) != "string":
        raise RecipeError(
            "what is generated is a string",
            at=source.value("parameters", name, "generate"),
            hint='leave `type` out, or say `type = "string"`',
        )
    if parameter.secret and parameter.default is not msgspec.UNSET:
        raise RecipeError(
            "a secret has no default, which all instances would share",
            at=source.value("parameters", name, "default"),
            hint='`generate = "password"` makes one for each instance',
        )
