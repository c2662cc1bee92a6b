"""runc and crun: either alone will do, also for what the other one has started."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.hosts.machine import Machine

Only = Callable[[str], None]
BOTH = ("runc", "crun")


@pytest.fixture
def only(machine: Machine) -> Iterator[Only]:
    """Leave one runtime on the machine; in the end both are there."""

    def show_all() -> None:
        for runtime in BOTH:
            machine.run(f"f=/opt/{runtime}; [ ! -e $f ] || mv $f $(cat $f.from)")

    def leave(runtime: str) -> None:
        show_all()
        (other,) = set(BOTH) - {runtime}
        machine.run(f"f=$(command -v {other}); echo $f >/opt/{other}.from; mv $f /opt/{other}")

    yield leave
    show_all()


@pytest.mark.parametrize("runtime", BOTH)
def test_one_is_enough(machine: Machine, only: Only, name: str, runtime: str) -> None:
    only(runtime)
    machine.run(f"oven run --name {name} --memory 100M debian-bookworm")
    state = machine.run(f"oven exec {name} -- systemctl is-system-running", code=None)
    assert state.out == "running\n"
    # Beside the units of systemd, which gives each of them limits of its own.
    assert machine.run(f"oven exec {name} -- cat /proc/self/cgroup").out == "0::/.oven\n"
    machine.run(f"oven set {name} --memory 48M")
    machine.run(f"oven freeze {name} && oven thaw {name}")
    eat = "head -c 96M /dev/zero | tail -c 64M >/dev/null"
    assert machine.run(f"oven exec {name} -- sh -c '{eat}'", code=None).status != 0
    machine.run(f"oven restart {name} && oven stop {name}")


@pytest.mark.parametrize(("first", "second"), [BOTH, BOTH[::-1]])
def test_one_goes_on_with_what_the_other_has_started(
    machine: Machine, only: Only, name: str, first: str, second: str
) -> None:
    only(first)
    machine.run(f"oven run --name {name} --network none debian-bookworm")
    only(second)
    assert machine.run(f"oven exec {name} -- echo here").out == "here\n"
    machine.run(f"oven stop {name}")
    machine.run(f"oven start {name}")
