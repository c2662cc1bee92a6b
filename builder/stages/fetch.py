"""Fetch: bring the packages that a lock names into the store."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from builder.host.files import disk_errors, locked
from builder.host.net import GoneError, Item
from builder.model.errors import UpstreamError
from builder.model.lock import Package
from builder.stages.tools import Tools


class SupersededError(UpstreamError):
    """A lock names a package that its mirrors have no more."""


def fetch(
    packages: Iterable[Package],
    mirrors: Mapping[str, tuple[str, ...]],
    tools: Tools,
    *,
    recipe: str,
) -> None:
    """Download what the store does not have yet; `mirrors` has the URLs of each archive.

    Raises UpstreamError; SupersededError, with `recipe` in its hint, when a package is gone.
    """
    wanted = {package.sha256: package for package in packages}
    if not _missing(wanted, tools):
        return
    # One process downloads at a time: two would write to the same unfinished file.
    with disk_errors(tools.store.partial), locked(tools.store.downloading):
        items = [_item(package, mirrors, tools) for package in _missing(wanted, tools)]
        try:
            tools.net.fetch_all(items, then=lambda item: _keep(item, tools))
        except GoneError as error:
            raise SupersededError(
                f"the mirror no longer has {error.item.label}: {error.problem}",
                hint=f"`oven lock {recipe} --update` takes the versions that it has now",
            ) from error


def _missing(wanted: Mapping[str, Package], tools: Tools) -> list[Package]:
    return [package for sha256, package in wanted.items() if tools.store.blob(sha256) is None]


def _item(package: Package, mirrors: Mapping[str, tuple[str, ...]], tools: Tools) -> Item:
    return Item(
        urls=tuple(
            f"{mirror}/{quote(package.path, safe='/+~')}"
            for mirror in mirrors.get(package.archive, ())
        ),
        target=tools.store.partial / package.sha256,
        size=package.size,
        sha256=package.sha256,
        label=f"{package.name} {package.version}",
    )


def _keep(item: Item, tools: Tools) -> None:
    tools.store.keep_blob(item.target, item.sha256)
