"""A small archive for each module of tests, and a server of it for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.distros import ArchiveSources
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.progress import Silent
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.packages.archive import Archive, Mirror, serve


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive.make(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def mirror(archive: Archive) -> Iterator[Mirror]:
    with serve(archive.root) as mirror:
        yield mirror


@pytest.fixture
def sources(archive: Archive, mirror: Mirror, tmp_path: Path) -> ArchiveSources:
    return ArchiveSources(mirror.urls, archive.keyring, tmp_path / "cache")


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(Store(tmp_path / "store"), on_host, Net(Silent()), Silent(), 2)
