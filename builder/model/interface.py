"""Interfaces: what an instance of an appliance may be asked, and what it keeps to itself."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from builder.model.backup import BackupSpec
from builder.model.health import HealthProbe
from builder.model.names import Line, ParameterName, Reason, UnitName
from builder.model.rights import FileRights
from builder.model.value import Value
from builder.model.volume import VolumeSpec

# Parameters speak JSON Schema (draft 2020-12), in its own words; `builder.appliance.schema` hands
# them to a library that knows it. What it has no word for is said by the keys at the end of
# `Parameter`.

Json = Annotated[
    bool | int | float | str | list[Any] | dict[str, Any], msgspec.Meta(title="any value")
]
"""What JSON and TOML can both say."""
Schema = Annotated[dict[str, Any], msgspec.Meta(title="a schema")]
"""A schema inside another one."""

Expression = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=1000,
        title="a condition",
        description="an expression of Jinja2 on `parameters.NAME`, such as `parameters.tls`",
    ),
]

Action = Literal["reload", "restart"]

SecretKind = Literal["password", "random", "rsa", "ed25519", "x509-selfsigned", "dkim"]


class Affected(Value, frozen=True, kw_only=True):
    """A unit that has to hear of a change."""

    unit: UnitName
    """The unit of systemd."""
    action: Action | None = None
    """What makes it hear; by default what `[services.config]` says of the unit, or `reload`."""


class Parameter(Value, frozen=True, kw_only=True, rename="camel"):
    """A value that templates may use as `parameters.NAME`, and that an instance may be asked.

    One without `default` and `generate` has to be answered before an instance serves anybody. All
    keys up to `examples` are JSON Schema's.
    """

    type: Literal["string", "integer", "number", "boolean", "array", "object"] | None = None
    """What kind of value it is; by default that of `default`, else `string`."""
    title: Line = ""
    """What it is for, in one line."""
    description: str = ""
    """What else one should know."""
    default: Json | msgspec.UnsetType = msgspec.UNSET
    """The value unless another one is given."""
    enum: tuple[Json, ...] = ()
    """The values that are allowed."""
    format: Line = ""
    """What a string is, such as `hostname`, `idn-hostname`, `email`, `ipv4`, `ipv6`, `uri`, `date`,
    `time`, `date-time`, `duration`, `regex` or `uuid`."""
    pattern: Line = ""
    """A regular expression (ECMA-262) that is found in a string."""
    min_length: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Characters of a string at least."""
    max_length: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Characters of a string at most."""
    minimum: int | float | None = None
    """The smallest number that is allowed."""
    maximum: int | float | None = None
    """The largest number that is allowed."""
    multiple_of: int | float | None = None
    """What a number is a multiple of."""
    items: Schema | None = None
    """What each item of an array is: a schema of its own."""
    min_items: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Items of an array at least."""
    max_items: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Items of an array at most."""
    unique_items: bool = False
    """Whether no item of an array may be there twice."""
    properties: dict[str, Schema] | None = None
    """The keys of an object: a schema of its own for each."""
    required: tuple[Line, ...] = ()
    """The keys that an object must have."""
    additional_properties: bool | Schema | None = None
    """Whether an object may have other keys, or what these are."""
    examples: tuple[Json, ...] = ()
    """Values as they could be."""
    secret: bool = False
    """Whether the value is shown nowhere: no list, difference, log or error has it."""
    generate: Literal["password", "random"] | None = None
    """What is made for an instance that gives no answer."""
    immutable: Reason | None = None
    """Why the answer stays what it was when the instance was made."""
    affects: tuple[Affected, ...] = ()
    """The units that have to hear of a change."""
    when: Expression | None = None
    """When it is asked at all; otherwise it has its default, or none."""


class SecretSpec(Value, frozen=True, kw_only=True):
    """A secret that is made for each instance, and that its units get as a credential.

    A unit takes it by `LoadCredential=NAME` (systemd.exec(5)), and a template of `instance/` as
    `secrets.NAME`.
    """

    kind: SecretKind
    """`password` of letters and digits; `random` bytes in hexadecimal; the private keys `rsa`,
    `ed25519` and `dkim` in PEM; `x509-selfsigned`, a key and a certificate for `names`."""
    title: Line = ""
    """What it is for."""
    length: Annotated[int, msgspec.Meta(ge=16, le=1024)] = 24
    """Characters of a password; bytes of what is random."""
    bits: Literal[2048, 3072, 4096] = 2048
    """The size of an RSA key; `dkim` and `x509-selfsigned` are such keys, too."""
    names: tuple[Line, ...] = ()
    """The names in a certificate; a Jinja2 expression each time in `{{ }}`."""
    show: bool = False
    """Whether whoever starts the instance first is shown it, once."""
    clone: Literal["renew", "keep"] = "renew"
    """What `oven clone` does: a new secret for the copy, or the same."""
    affects: tuple[Affected, ...] = ()
    """The units that have to hear of a rotation."""


class ServiceConfig(Value, frozen=True, kw_only=True):
    """How a unit is told of a new configuration."""

    test: tuple[Line, ...] = ()
    """A command inside that fails when the configuration is wrong, such as `["nginx", "-t"]`."""
    apply: Action = "reload"
    """What makes the unit hear of it."""


class Assertion(Value, frozen=True, kw_only=True):
    """What must hold for the answers together."""

    that: Expression
    """What holds."""
    message: Line
    """What is wrong when it does not."""


def defaults(parameters: Mapping[str, Parameter]) -> dict[str, Json]:
    """Give the value of each parameter that has one of its own."""
    return {
        name: one.default
        for name, one in parameters.items()
        if not isinstance(one.default, msgspec.UnsetType)
    }


class Interface(Value, frozen=True, kw_only=True):
    """What an appliance says of itself to whoever runs it; it travels in the template."""

    parameters: dict[ParameterName, Parameter] = {}
    secrets: dict[ParameterName, SecretSpec] = {}
    services: dict[UnitName, ServiceConfig] = {}
    asserts: tuple[Assertion, ...] = ()
    instance: bool = False
    """Whether it brings files for its instances."""
    files: tuple[FileRights, ...] = ()
    """Whose these are."""
    health: tuple[HealthProbe, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    """What instances keep outside of their containers."""
    backup: BackupSpec = BackupSpec()
    """How that is backed up."""

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters without which nobody is served."""
        return tuple(
            name
            for name, one in self.parameters.items()
            if one.default is msgspec.UNSET and one.generate is None
        )
