"""Every link between pages leads to a page and a heading that exist, and every page is linked."""

import re
from pathlib import Path

import pytest

from tests.support.oven import CHECKOUT

PAGES = sorted((*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")))
_LINK = re.compile(r"\]\(([^)\s:]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _links(page: Path) -> list[tuple[Path, str]]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = (link.partition("#") for link in _LINK.findall(text))
    return [((page.parent / name).resolve() if name else page, anchor) for name, _, anchor in found]


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    # As GitHub makes them: words in small letters, hyphens between.
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        assert target.exists(), f"{page}: {target}"
        assert not anchor or anchor in _anchors(target), f"{page}: {target}#{anchor}"


def test_every_page_is_on_the_map() -> None:
    linked = {target for target, _ in _links(CHECKOUT / "docs/README.md")}
    pages = {page for page in (CHECKOUT / "docs").glob("*/*.md") if page.parent.name != "decisions"}
    assert pages <= linked, pages - linked
