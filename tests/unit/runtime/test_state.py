"""The phases of a container: which follow which, and the page that tells of them."""

from pathlib import Path

import pytest

from builder.host.places import Places
from builder.runtime.record import state
from builder.runtime.record.state import NEXT, PHASES, Phase, State
from tests.support.oven import CHECKOUT

PAGE = CHECKOUT / "docs/explanation/how-a-container-runs.md"


def words(phases: tuple[Phase, ...]) -> str:
    return ", ".join(f"`{phase}`" for phase in phases)


def table() -> str:
    rows = "".join(
        f"| `{phase}` | {meaning} | {words(NEXT[phase])} |".replace("|  |", "| |") + "\n"
        for phase, meaning in PHASES.items()
    )
    return (
        "| phase | what that means | may become |\n|---|---|---|\n"
        f"{rows}\nA stopped one becomes {words(NEXT[None])}. "
    )


def test_the_page_has_the_table() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def test_every_phase_is_told_and_can_be_come_to() -> None:
    assert PHASES.keys() == NEXT.keys() - {None}
    assert {phase for following in NEXT.values() for phase in following} == PHASES.keys()


@pytest.mark.parametrize(
    ("before", "after"), [(None, "running"), ("stopping", "running"), ("waiting", "booting")]
)
def test_no_other_step_is_taken(tmp_path: Path, before: Phase | None, after: Phase) -> None:
    places = Places(data=tmp_path, cache=tmp_path, runtime=tmp_path, settings=(tmp_path,))
    was = State(phase=before, boot="x") if before else None
    with pytest.raises(AssertionError, match=f"cannot become {after}"):
        state.become(places, "one", was, State(phase=after, boot="x"))
    assert list(tmp_path.iterdir()) == []
