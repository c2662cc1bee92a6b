"""Forms: questions for the answers that an appliance requires, asked on a terminal."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import questionary

from builder.appliance import settled
from builder.appliance.answers import Given, Origin, Stack, chosen, gather, shown
from builder.appliance.schema import type_of
from builder.cli.containers.subject import Subject
from builder.model.errors import RecipeError
from builder.model.interface import Interface, Json, Parameter


def fill(subject: Subject, given: Stack) -> Mapping[str, Json]:
    """Give what was answered; what is missing is asked, in order, while there is a terminal."""
    found = chosen(given)
    said = {name: one for name, one in found.items() if one.origin is not Origin.DEFAULT}
    while missing := settled.settle(subject.interface, found).missing:
        if not (os.isatty(0) and os.isatty(1)):
            raise RecipeError(
                f"`{missing[0]}` is not answered, and there is no terminal to ask at",
                hint=f"say `--set {missing[0]}=…`",
            )
        name = missing[0]
        answer = _ask(subject.interface, name)
        said[name] = found[name] = Given(answer, Origin.OPTION)
    return {name: one.value for name, one in said.items()}


def write(output: Path, subject: Subject, values: Mapping[str, Json]) -> None:
    """Write answers as TOML, for nobody else to read; what was there is replaced as a whole."""
    from builder.host.trees import durable
    from builder.model.toml.text import recipe_lines

    lines = [line for line, _ in recipe_lines(dict(values), lambda _: "")]
    titles = {name: one.title for name, one in subject.interface.parameters.items()}
    text = [f"# Answers for {subject.name}"]
    for line in lines:
        title = titles.get(line.partition(" =")[0].strip("[]"))
        text += [f"# {title}", line] if title else [line]
    with durable.draft_of(output) as draft:
        draft.chmod(0o600)
        draft.write_text("\n".join((*text, "")), encoding="utf-8")
        draft.rename(output)


def _ask(interface: Interface, name: str) -> Json:
    parameter = interface.parameters[name]
    title = parameter.title or name
    if parameter.enum:
        choices = [questionary.Choice(shown(one), value=one) for one in parameter.enum]
        picked: Json = _answered(questionary.select(title, choices=choices))
        return picked
    if type_of(parameter) == "boolean":
        return bool(_answered(questionary.confirm(title, default=False)))
    draw = questionary.password if parameter.secret else questionary.text
    asked = draw(title, validate=lambda text: _verdict(name, parameter, text))
    return _read(name, parameter, _answered(asked))


def _answered(question: questionary.Question) -> Any:  # what was typed or chosen
    return question.unsafe_ask()  # Ctrl-C is a KeyboardInterrupt here as everywhere


def _verdict(name: str, parameter: Parameter, text: str) -> bool | str:
    """Tell whether what is typed so far is an answer, or why it is none."""
    try:
        found = settled.of_parameter(parameter, _read(name, parameter, text))
    except RecipeError as error:
        return error.problem
    return True if found is None else settled.wanted(found, secret=parameter.secret)


def _read(name: str, parameter: Parameter, text: str) -> Json:
    one = Interface(parameters={name: msgspec.structs.replace(parameter, default=msgspec.UNSET)})
    return gather(one, options=[f"{name}={text}"])[name][0].value
