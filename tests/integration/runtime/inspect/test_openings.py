"""`oven show` tells what makes a container's walls lower."""

from pathlib import Path

import msgspec

from builder.runtime.lifecycle import create
from builder.runtime.record.container import Bind, Limits
from tests.support.containers.rig import rig_in, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root")


def test_what_is_open_is_told(tmp_path: Path) -> None:
    with rig_in(tmp_path / "home", tiny_tree(tmp_path / "tiny")) as rig:
        (tmp_path / "shared").mkdir()
        given = msgspec.structs.replace(
            rig.container(),
            binds=(Bind(source=str(tmp_path / "shared"), target="/data"),),
            limits=Limits(memory=1 << 30),
        )
        create.create(rig.places, given)
        oven = Oven(rig.places.data)
        found = oven.json("show", "test")
        assert isinstance(found, dict)
        assert found["open"] == [
            f"root inside writes in `{tmp_path}/shared`",
            "no limit of cpus, disk",
        ]
        said = text(oven("show", "test").stdout).splitlines()
        assert [line.split(maxsplit=1)[1] for line in said if line.startswith("open ")] == (
            found["open"]
        )
