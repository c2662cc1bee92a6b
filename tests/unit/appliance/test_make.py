"""Instances made: what lasts, what is made up, and what may not change."""

from pathlib import Path

import msgspec
import pytest

from builder.appliance.answers import chosen, gather
from builder.appliance.make import Appliance, Who, make
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError
from builder.model.instance import Instance
from builder.model.interface import Interface
from builder.model.manifest import Manifest
from builder.model.recipe import Arch
from builder.model.value import Digest

PARAMETERS: dict[str, dict[str, object]] = {
    "engine": {"default": "a", "immutable": "data is kept in its form"},
    "domain": {"default": "a.example"},
    "token": {"secret": True, "generate": "password"},
}
NAMES = ["{{ parameters.domain }}", "www.{{ parameters.domain }}"]
SECRETS = {"tls": {"kind": "x509-selfsigned", "names": NAMES}, "db": {"kind": "password"}}


def made(
    folder: Path, *options: str, before: Instance | None = None, engine: str = "a"
) -> Instance:
    parameters = {**PARAMETERS, "engine": {**PARAMETERS["engine"], "default": engine}}
    interface = msgspec.convert({"parameters": parameters, "secrets": SECRETS}, Interface)
    digest = Digest("sha256:" + "ab" * 32)
    manifest = Manifest(
        name="web", summary="", distro="debian", suite="bookworm", arch=Arch.AMD64, epoch=0,
        recipe=digest, lock=digest, packages=(), interface=interface, oven="1",
    )  # fmt: skip
    kept = before.answers.given if before else None
    with TreeIO(folder) as tree:
        found = chosen(gather(interface, options=options, kept=kept))
        return make(Appliance(manifest, tree, digest), Who("x", "x"), found, before)


def test_what_was_made_up_lasts(tmp_path: Path) -> None:
    first = made(tmp_path)
    again = made(tmp_path, "domain=b.example", before=first)
    assert again.secrets == first.secrets
    assert again.answers.values["token"] == first.answers.values["token"]
    assert again.answers.given == {"domain": "b.example"}
    assert made(tmp_path).secrets != first.secrets


def test_a_certificate_is_for_what_was_answered(tmp_path: Path) -> None:
    from cryptography import x509

    text = made(tmp_path, "domain=c.example").secrets["tls"].encode()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT") :])
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["c.example", "www.c.example"]


def test_what_cannot_change_is_refused_and_lasts_through_another_default(tmp_path: Path) -> None:
    first = made(tmp_path)
    with pytest.raises(RecipeError, match="data is kept in its form"):
        made(tmp_path, "engine=b", before=first)
    newer = made(tmp_path, before=first, engine="b")
    assert newer.answers.values["engine"] == "a"
    assert made(tmp_path, engine="b").answers.values["engine"] == "b"
