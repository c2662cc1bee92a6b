"""Repository metadata is read as it is written, and refused when it cannot be right."""

import gzip
from pathlib import Path

import pytest
import zstandard

from builder.distros.rpm.metadata import read_entry
from builder.model.errors import UpstreamError
from tests.support.packages.rpm_metadata import PRIMARY, REPOMD, SHA, STANZA, repository


def test_an_entry() -> None:
    entry = read_entry(STANZA.encode())
    assert (entry.name, entry.version, entry.arch) == ("web", "2:1.0~rc1-3.el9", "x86_64")
    assert (entry.size, entry.sha256) == (1234, SHA)
    assert entry.location == "Packages/w/web-1.0~rc1-3.el9.x86_64.rpm"
    assert entry.provides == (("web", "EQ", "2:1.0~rc1-3.el9"), ("httpd", "", ""))
    assert entry.requires == (("libweb", "GE", "3"),)
    assert entry.files == ("/usr/bin/web",)


@pytest.mark.parametrize(
    ("ending", "data"),
    [
        ("", PRIMARY),
        (".gz", gzip.compress(PRIMARY)),
        (".zst", zstandard.ZstdCompressor().compress(PRIMARY)),
    ],
)
def test_a_repository(tmp_path: Path, ending: str, data: bytes) -> None:
    metadata = repository(tmp_path, data, ending)
    assert list(metadata.names()) == ["web"]
    assert metadata.revision.date == "Mon, 03 Jun 2024 12:00:00 GMT"
    entry = metadata.entry("web", "2:1.0~rc1-3.el9", "x86_64")
    assert entry == read_entry(STANZA.encode())
    assert metadata.entry("web", "1.0~rc1-3.el9", "x86_64") is None
    assert metadata.entry("web", "2:1.0~rc1-3.el9", "noarch") is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('href="Packages/', 'href="../', "outside of its repository"),
        ('href="Packages/w', 'href="/etc', "outside of its repository"),
        ('"sha256"', '"sha1"', "no sha256"),
        (SHA, SHA[:-1] + "g", "no sha256"),
        ("<size ", "<size <", "damaged"),
        ('<size package="1234" installed="9" archive="9"/>', "", "does not say what `web` is"),
        ("</format>", "<!DOCTYPE x></format>", "document type"),
    ],
)
def test_an_entry_that_cannot_be_right(old: str, new: str, words: str) -> None:
    assert old in STANZA
    with pytest.raises(UpstreamError, match=words):
        read_entry(STANZA.replace(old, new, 1).encode())


@pytest.mark.parametrize(
    ("ending", "data"),
    [
        (".gz", gzip.compress(PRIMARY)[:-20]),
        (".gz", b"nothing"),
        (".xz", b"nothing"),
        (".zst", b"nothing"),
        ("", PRIMARY[: -len("</package>\n</metadata>\n")]),
    ],
)
def test_an_index_that_is_damaged(tmp_path: Path, ending: str, data: bytes) -> None:
    with pytest.raises(UpstreamError, match=r"damaged|cut off"):
        repository(tmp_path, data, ending)


def test_a_repository_without_packages(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="lists no packages"):
        repository(tmp_path, b"", repomd=REPOMD.replace("primary", "secondary"))
