"""JSON schemas of the types that people write as TOML, with what their attributes say."""

import ast
import inspect
import textwrap

import msgspec

from builder.model.recipe import Recipe
from builder.model.value import Value

DRAFT = "http://json-schema.org/draft-07/schema#"
"""What Taplo and the editors' own checkers all understand."""


def schema_of(kind: type[msgspec.Struct]) -> dict[str, object]:
    """Make the JSON Schema of a type, with the attributes' docstrings as descriptions."""
    (top,), definitions = msgspec.json.schema_components(
        [kind], ref_template="#/definitions/{name}"
    )
    structs = {struct.__name__: struct for struct in structs_of(kind)}
    for name, definition in definitions.items():
        _describe(definition, structs.get(name))
    whole = definitions.pop(kind.__name__)
    assert top["$ref"] == f"#/definitions/{kind.__name__}"  # structs are always refs
    if kind is Recipe:
        whole["oneOf"] = [
            {"required": ["base"], "not": {"required": ["from"]}},
            {"required": ["from"], "not": {"required": ["base"]}},
            {"required": ["from", "tarball", "base"]},
        ]
    cleaned = _cleaned({"$schema": DRAFT, **whole, "definitions": definitions})
    assert isinstance(cleaned, dict)  # a dict went in
    return cleaned


def structs_of(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """Give a struct type and all those below it, in the order of their keys."""
    found: dict[type[msgspec.Struct], None] = {}

    def walk(node: object) -> None:
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls in found:
                return
            found[node.cls] = None
            for field in node.fields:
                walk(field.type)
        elif isinstance(node, msgspec.inspect.Metadata):
            walk(node.type)
        elif isinstance(node, msgspec.inspect.CollectionType):
            walk(node.item_type)
        elif isinstance(node, msgspec.inspect.DictType):
            walk(node.value_type)
        elif isinstance(node, msgspec.inspect.UnionType):
            for part in node.types:
                walk(part)

    walk(msgspec.inspect.type_info(kind))
    return list(found)


def attribute_docs(kind: type) -> dict[str, str]:
    """Read the docstrings that stand below the attributes of a class, by Python name."""
    docs: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if issubclass(one, Value) and one is not Value:
            docs |= _own_docs(one)
    return docs


def _own_docs(kind: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)  # the source of a class is one
    docs: dict[str, str] = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        match before, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = inspect.cleandoc(text).replace("\n", " ")
    return docs


def _describe(definition: dict[str, object], struct: type[msgspec.Struct] | None) -> None:
    if isinstance(text := definition.get("description"), str):
        definition["description"] = inspect.cleandoc(text)
    properties = definition.get("properties")
    if struct is None or not isinstance(properties, dict):
        return
    docs = attribute_docs(struct)
    for field in msgspec.structs.fields(struct):
        found = properties[field.encode_name]
        found["description"] = docs[field.name]
        # TOML has no null: a key that is not given is left out.
        if isinstance(choices := found.get("anyOf"), list) and {"type": "null"} in choices:
            choices.remove({"type": "null"})
            found.pop("default", None)
            if len(choices) == 1:
                del found["anyOf"]
                found |= {key: choices[0][key] for key in choices[0] if key != "description"}


def _cleaned(node: object) -> object:
    r"""Say the same in draft 7: nothing beside a `$ref`, and `$` for Python's `\Z`."""
    if isinstance(node, list):
        return [_cleaned(item) for item in node]
    if not isinstance(node, dict):
        return node
    clean = {key: _cleaned(value) for key, value in node.items()}
    if isinstance(pattern := clean.get("pattern"), str):
        clean["pattern"] = pattern.replace(r"\Z", "$")
    if "$ref" in clean and len(clean) > 1:
        clean["allOf"] = [{"$ref": clean.pop("$ref")}]
    return clean
