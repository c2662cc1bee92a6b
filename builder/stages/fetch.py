"""Fetch: bring the packages that a lock names into the store."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from builder.host.network.downloads import GoneError, Item, PartlyGoneError
from builder.host.trees.durable import disk_errors, locked
from builder.model.errors import UpstreamError
from builder.model.lock import Package, Release, seconds_of
from builder.stages.tools import Tools
from builder.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Future

Then = Callable[[Package, Store], object]
"""What is done with a package of which the store has the file now."""


class SupersededError(UpstreamError):
    """A lock names a package that its mirrors have no more."""

    def __init__(self, problem: str, package: Package, *, hint: str) -> None:
        super().__init__(problem, hint=hint)
        self.package = package


def fetch(
    packages: Iterable[Package],
    mirrors: Mapping[str, tuple[str, ...]],
    tools: Tools,
    *,
    recipe: str,
    then: Then | None = None,
) -> None:
    """Download what the store does not have yet; `mirrors` has the URLs of each archive.

    `then` is called, in threads of its own, for each package that has arrived, while others are
    still on their way; its first error ends the downloads. Raises UpstreamError; SupersededError,
    with `recipe` in its hint, when a package is gone.
    """
    wanted = {package.sha256: package for package in packages}
    if not _missing(wanted, tools):
        return
    with (
        _beside(then, tools) as arrived,
        disk_errors(tools.store.partial),
        # One process downloads at a time: two would write to the same unfinished file.
        locked(tools.store.downloading),
    ):
        _download(_missing(wanted, tools), mirrors, tools, recipe, arrived)


@contextmanager
def stale_index_named(releases: Iterable[Release]) -> Iterator[None]:
    """Have the error about a package that is gone say which of the indexes has told of it."""
    try:
        yield
    except SupersededError as error:
        archive = error.package.archive
        dates = [release.date for release in releases if release.archive == archive]
        if dates:
            newest = max(dates, key=lambda date: seconds_of(date) or 0)
            error.problem += f"; the index of `{archive}` that names it is of {newest}"
        raise


def _download(
    packages: Sequence[Package],
    mirrors: Mapping[str, tuple[str, ...]],
    tools: Tools,
    recipe: str,
    arrived: Callable[[Package], None],
) -> None:
    by_hash = {package.sha256: package for package in packages}

    def keep(item: Item) -> None:
        tools.store.keep_blob(item.target, item.sha256)
        arrived(by_hash[item.sha256])

    try:
        tools.net.fetch_all([_item(package, mirrors, tools) for package in packages], then=keep)
    except GoneError as error:
        whose = "the mirror no longer has" if len(error.item.urls) == 1 else "no mirror has"
        raise SupersededError(
            f"{whose} {error.item.label}: {error.problem}",
            by_hash[error.item.sha256],
            hint=f"`oven lock {recipe} --update` takes the versions that are there now",
        ) from error
    except PartlyGoneError as error:
        error.hint = f"{error.hint}, or take newer versions with `oven lock {recipe} --update`"
        raise


@contextmanager
def _beside(then: Then | None, tools: Tools) -> Iterator[Callable[[Package], None]]:
    """Lend a function that has a package worked on by another thread; wait for them all."""
    from builder.host.process.threads import Threads

    if then is None:
        yield lambda _: None
        return
    begun: list[Future[object]] = []

    def add(package: Package) -> None:
        for one in begun:
            if one.done():
                one.result()  # its error ends the downloads
        begun.append(pool.submit(then, package, tools.store))

    with Threads(tools.jobs) as pool:
        try:
            yield add
            _finish(begun, tools)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what runs already is waited for
            raise


def _finish(begun: Sequence["Future[object]"], tools: Tools) -> None:
    from concurrent.futures import as_completed

    left = [one for one in begun if not one.done()]
    task = tools.report.begin(f"unpack {len(begun)} packages") if left else None
    try:
        for one in as_completed(begun):
            one.result()
    except BaseException:
        if task:
            task.close("failed")
        raise
    if task:
        task.close()


def _missing(wanted: Mapping[str, Package], tools: Tools) -> list[Package]:
    """Give them with the largest first, so that no core is left alone with it at the end."""
    missing = (one for sha256, one in wanted.items() if tools.store.blob(sha256) is None)
    return sorted(missing, key=lambda package: -package.size)


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
