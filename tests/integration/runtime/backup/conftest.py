"""A small instance with data, and a repository for its backups."""

from pathlib import Path

import pytest

from builder.model.backup import BackupCommand, BackupSpec
from builder.model.interface import Interface
from builder.model.progress import Silent
from builder.model.volume import VolumeSpec
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control
from tests.support.containers.rig import Rig, tiny_tree
from tests.support.containers.templates import describe
from tests.support.oven import Oven, text

NOTES = VolumeSpec(name="notes", path="/var/lib/notes", owner="ann", group="staff", mode="2750")
SPEC = BackupSpec(
    before=(
        BackupCommand(
            command=("sh", "-c", "echo before >>/var/lib/notes/log; echo dump >/var/lib/notes/dump")
        ),
    ),
    after=(BackupCommand(command=("sh", "-c", "echo after >>/var/lib/notes/log")),),
    exclude=("/var/lib/notes/cache", "/var/lib/notes/*.tmp"),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with something at the place of the volume."""
    tree = tiny_tree(tmp_path / "rootfs")
    notes = tree / "var/lib/notes"
    (notes / "cache").mkdir(parents=True)
    (notes / "cache/big").write_text("big")
    (notes / "a.tmp").write_text("tmp")
    return tree


class Shop:
    """An instance `shop`, and what is done to it."""

    def __init__(self, rig: Rig, oven: Oven, repository: Path) -> None:
        self.rig, self.oven, self.repository = rig, oven, repository

    def made(self, interface: Interface | None = None) -> None:
        """Make it, running."""
        describe(self.rig, interface=interface or Interface(volumes=(NOTES,), backup=SPEC))
        self.oven("create", "shop", "abab", "--network", "none")
        control.start(self.rig.places, "shop", Silent())

    def init(self) -> None:
        """Say where its backups go."""
        self.oven("backup", "init", "shop", "--repository", self.repository)

    def backed_up(self) -> str:
        """Make a backup, and give its id."""
        return text(self.oven("backup", "create", "shop").stdout).strip()

    def data(self, name: str = "shop.notes") -> Path:
        """Give a volume's folder."""
        return self.rig.places.data / "volumes" / name / "data"

    def sh(self, script: str, name: str = "shop") -> str:
        """Run something inside."""
        code, said = capture(self.rig.places, name, ("sh", "-c", script))
        assert code == 0, said
        return said

    def left(self) -> list[str]:
        """Name what backups have left in the home, beside the password."""
        found = (one.name for one in (self.rig.places.data / "backup").iterdir())
        drafts = (one.name for one in (self.rig.places.data / "volumes").glob(".new.*"))
        containers = (one.name for one in (self.rig.places.data / "containers").glob("new.*"))
        known = {"password", ".lock", ".password.lock"}
        return sorted({*found, *drafts, *containers} - known)


@pytest.fixture
def shop(rig: Rig, oven: Oven, tmp_path: Path) -> Shop:
    """Make nothing yet."""
    return Shop(rig, oven, tmp_path / "repository")
