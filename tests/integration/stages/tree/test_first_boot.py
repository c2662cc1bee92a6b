"""First boot: a recipe's commands become units of the tree, where it has what they need."""

from pathlib import Path

import pytest

from builder.distros.identity import forget_identity
from builder.host.trees.treeio import TreeIO
from builder.model.recipe.content import FirstBootCommand
from builder.recipes.project import Project
from builder.stages.tree.asked import AskedError
from builder.stages.tree.clean import clean
from builder.stages.tree.first_boot import lay_first_boot, read_first_boot
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs
from tests.support.trees.base_trees import EPOCH

pytestmark = needs("root")

UNITS = "usr/lib/systemd/system"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for path in ("usr/lib/systemd/systemd", "usr/bin/app", "var/lib/app/own.key", "etc/passwd"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x\n")
    (root / "usr/sbin").mkdir()
    (root / "sbin").symlink_to("usr/sbin")
    (root / "sbin/init").symlink_to("/usr/lib/systemd/systemd")
    return root


def lay(
    kitchen: Kitchen, root: Path, *commands: FirstBootCommand, laid: tuple[str, ...] = ()
) -> None:
    project = Project(kitchen.recipe)
    programs = read_first_boot(commands, kitchen.recipe, kitchen.store, project)
    with TreeIO(root) as tree:
        lay_first_boot(programs, tree, kitchen.store, laid)


def unit(root: Path, name: str) -> str:
    return (root / UNITS / f"oven-first-boot-{name}.service").read_text()


def test_a_program_of_the_recipe(kitchen: Kitchen, root: Path) -> None:
    kitchen.write("setup", "#!/bin/sh\necho hello\n")
    lay(kitchen, root, FirstBootCommand(name="setup", run="setup", timeout="90s"))
    text = unit(root, "setup")
    assert "ExecStart=/usr/lib/oven/first-boot/setup\n" in text
    assert "TimeoutStartSec=90s\n" in text
    assert "ConditionPathExists=|!/var/lib/oven/first-boot/setup\n" in text
    assert "Before=sysinit.target shutdown.target\n" in text
    program = root / "usr/lib/oven/first-boot/setup"
    assert program.read_text() == "#!/bin/sh\necho hello\n"
    assert program.stat().st_mode & 0o777 == 0o755
    link = root / UNITS / "sysinit.target.wants/oven-first-boot-setup.service"
    assert link.resolve() == root / UNITS / link.name


def test_commands_come_in_order_and_after_those_of_layers_below(
    kitchen: Kitchen, root: Path
) -> None:
    lay(kitchen, root, FirstBootCommand(name="below", run=("app",)))
    lay(
        kitchen,
        root,
        FirstBootCommand(name="one", run=("app", "$HOME", "100%")),
        FirstBootCommand(name="two", run=("/usr/bin/app",)),
        FirstBootCommand(
            name="late", run=("app",), after=("network-online.target",), before=("app.service",)
        ),
    )
    assert 'ExecStart=app "$$HOME" 100%%\n' in unit(root, "one")
    after = [line for line in unit(root, "two").splitlines() if line.startswith("After=")]
    assert "oven-first-boot-below.service" in after[0]
    assert "oven-first-boot-one.service" in after[0]
    late = unit(root, "late")
    assert "Wants=network-online.target\nAfter=network-online.target\nBefore=app.service\n" in late
    assert "DefaultDependencies" not in late
    assert (root / UNITS / "multi-user.target.wants/oven-first-boot-late.service").is_symlink()


def test_what_a_command_makes_is_in_no_template_and_in_no_copy(
    kitchen: Kitchen, root: Path
) -> None:
    made = ("/var/lib/app/own.key",)
    lay(kitchen, root, FirstBootCommand(name="key", run=("app",), makes=made))
    assert "ConditionPathExists=|!/var/lib/app/own.key\n" in unit(root, "key")
    key = root / "var/lib/app/own.key"
    for forget in (lambda tree: clean(tree, epoch=EPOCH), forget_identity):
        key.write_text("somebody's\n")
        with TreeIO(root) as tree:
            forget(tree)
        assert not key.exists()


@pytest.mark.parametrize(
    ("command", "problem", "where"),
    [
        (
            FirstBootCommand(name="x", run=("dkms", "generate_mok")),
            "there is no program `dkms` in the tree",
            ("first-boot", 0, "run"),
        ),
        (
            FirstBootCommand(name="x", run=("-app",)),
            "there is no program `-app` in the tree",
            ("first-boot", 0, "run"),
        ),
        (
            FirstBootCommand(name="x", run=("app",), makes=("/etc/a", "/etc/laid")),
            "an overlay brings `/etc/laid`, which is to be made at the first boot",
            ("first-boot", 0, "makes", 1),
        ),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_said(
    kitchen: Kitchen,
    root: Path,
    command: FirstBootCommand,
    problem: str,
    where: tuple[str | int, ...],
) -> None:
    with pytest.raises(AskedError) as caught:
        lay(kitchen, root, command, laid=("etc/laid",))
    assert (caught.value.problem, caught.value.where) == (problem, where)
    assert caught.value.hint


def test_another_init_is_refused(kitchen: Kitchen, root: Path) -> None:
    (root / "sbin/init").unlink()
    with pytest.raises(AskedError, match="needs systemd"):
        lay(kitchen, root, FirstBootCommand(name="x", run=("app",)))
    (root / "sbin/init").symlink_to("/bin/busybox")
    with pytest.raises(AskedError, match="needs systemd"):
        lay(kitchen, root, FirstBootCommand(name="x", run=("app",)))
