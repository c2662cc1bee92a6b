"""Health probes as an instance has them: texts filled in from parameters, within bounds."""

import pytest

from builder.appliance.probes import rendered
from builder.appliance.variables import Variables
from builder.model.errors import HostError
from builder.model.health import HealthProbe, port_of

SEEN = Variables(
    parameters={"domain": "a.example", "port": 8080, "lines": "a\nb"},
    template={"name": "web", "summary": ""},
    base={"distro": "debian", "suite": "bookworm", "arch": "amd64"},
)


def test_texts_are_filled_in() -> None:
    plain = HealthProbe(name="plain", kind="pg")
    web = HealthProbe(
        name="web",
        kind="http",
        port="{{ parameters.port }}",
        names=("{{ parameters.domain }}", "x", "www.{{ parameters.domain }}"),
        contains="{{ template.name }}",
    )
    first, second = rendered((plain, web), SEEN)
    assert first == plain
    assert second.names == ("a.example", "x", "www.a.example")
    assert second.contains == "web"
    assert port_of(second) == 8080


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ parameters.dmain }}", "the probe `x` cannot be used: `dmain` is not defined"),
        ("{{", "the probe `x` cannot be used: unexpected 'end of template'"),
        ("{{ parameters.lines }}", "the probe `x` cannot be used: Expected `str` matching"),
        ("{{ 'x' * 9999999999 }}", "the probe `x` cannot be used: the template takes more"),
    ],
)
def test_what_cannot_be_is_told(text: str, said: str) -> None:
    with pytest.raises(HostError) as caught:
        rendered((HealthProbe(name="x", kind="http", contains=text),), SEEN)
    assert caught.value.problem.startswith(said)


def test_ports_are_those_where_such_servers_listen() -> None:
    assert port_of(HealthProbe(name="x", kind="imap")) == 143
    assert port_of(HealthProbe(name="x", kind="imap", tls=True)) == 993
    with pytest.raises(ValueError, match="is no port"):
        port_of(HealthProbe(name="x", kind="tcp", port="70000"))
