"""Interfaces: what a recipe and those that it stands on say of their instances, made one."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from builder.appliance import instance, schema
from builder.appliance.checking import FORMATS, SchemaError, mistakes
from builder.model.backup import BackupSpec
from builder.model.errors import RecipeError
from builder.model.instance import Answers
from builder.model.interface import Interface, Json, Parameter, Schema, defaults
from builder.model.recipe import Recipe
from builder.model.toml.source import Source
from builder.model.value import canonical
from builder.recipes import backup, health, volumes
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.request import layers

_PLAIN = frozenset({"type", "title", "description", "default", "affects", "when", "immutable"})
"""Words that cannot be wrong where nobody says a type: it is that of the default then."""


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
            health=tuple({one.name: one for one in (*made.health, *recipe.health)}.values()),
            volumes=tuple({one.name: one for one in (*made.volumes, *recipe.volume)}.values()),
            backup=_joined(made.backup, recipe.backup),
        )
    return made


def offered(loaded: LoadedRecipe) -> Interface:
    """Give what a template says of its instances; it asks nothing where it has the answers itself.

    Volumes and backups are kept then, and probes but for those that depend on an answer.
    """
    made = interface_of(loaded)
    if loaded.answers is None:
        return made
    plain = tuple(one for one in made.health if b"{{" not in canonical(one))
    return Interface(health=plain, volumes=made.volumes, backup=made.backup)


def _joined(below: BackupSpec, above: BackupSpec) -> BackupSpec:
    return BackupSpec(
        before=(*below.before, *above.before),
        after=(*below.after, *above.after),
        exclude=(*below.exclude, *above.exclude),
        keep=above.keep or below.keep,
    )


def values_of(loaded: LoadedRecipe) -> dict[str, Json]:
    """Give the values of parameters that a template is made with."""
    known = interface_of(loaded).parameters
    said = loaded.answers or {}
    return defaults(known) | {name: value for name, value in said.items() if name in known}


def answered(loaded: LoadedRecipe, answers: Answers) -> LoadedRecipe:
    """Give a recipe whose template has these answers, in all of its layers.

    RecipeError where one is missing, or would be a secret that everybody has.
    """
    interface = interface_of(loaded)
    if answers.missing:
        raise RecipeError(
            f"`{answers.missing[0]}` is not answered, and a template of its own has all answers",
            hint=f"say `--set {answers.missing[0]}=…`",
        )
    secret = [name for name, one in interface.parameters.items() if one.secret or one.generate]
    if found := [*interface.secrets, *secret]:
        raise RecipeError(
            f"`{found[0]}` is a secret, which all containers of the template would share",
            hint="leave the answers to whoever runs it: `oven run --answers`",
        )
    return _with_values(loaded, answers.values)


def _with_values(loaded: LoadedRecipe, values: Mapping[str, Json]) -> LoadedRecipe:
    base = None if loaded.base is None else _with_values(loaded.base, values)
    return replace(loaded, base=base, answers=values)


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
    health.check(recipe, source)
    volumes.check(recipe, source)
    backup.check(recipe, source)
    # One call for all of them: each costs a process. Most say nothing that could be wrong.
    forms = {name: schema.of_parameter(one) for name, one in recipe.parameters.items()}
    form = {
        name: one
        for name, one in forms.items()
        if recipe.parameters[name].type is not None or not _PLAIN.issuperset(one)
    }
    values = {
        name: one.default
        for name, one in recipe.parameters.items()
        if name in form and one.default is not msgspec.UNSET
    }
    for name, parameter in recipe.parameters.items():
        _check_words(name, parameter, source)
    if not form:
        return
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
