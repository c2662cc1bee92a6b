"""Files of an overlay below that packages and scripts above change: told, not silent."""

import msgspec
import pytest

from builder.host import notices
from builder.stages.customize import customize
from builder.stages.install import install
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard = list[str]()
    monkeypatch.setattr(notices, "_hearers", [heard.append])
    return heard


def test_what_packages_and_scripts_change_is_told(kitchen: Kitchen, told: list[str]) -> None:
    kitchen.write("overlay/etc/rules", "mine\n")
    kitchen.write("overlay/usr/bin/tool", "mine\n")
    kitchen.write("overlay/etc/kept", "mine\n")
    inputs = kitchen.inputs()
    laid = inputs.laid
    below = customize(inputs, kitchen.tools).tree
    package = kitchen.package(
        "tool",
        **{"usr/bin/tool": "theirs\n", "DEBIAN/postinst": "#!/bin/sh\n: >/etc/rules\n"},
    )
    added = msgspec.structs.replace(kitchen.installation(package), tree=below, inherited=laid)
    tree = install(added, kitchen.tools).tree
    [notice] = told
    assert notice.startswith("the packages of `template` changed what an overlay below has laid")
    assert notice.endswith(": `/etc/rules`, `/usr/bin/tool`")
    told.clear()
    kitchen.write("overlay/etc/rules", "again\n")
    (kitchen.recipe / "overlay/etc/kept").unlink()
    kitchen.write("edit.sh", "#!/bin/sh -e\necho more >>/etc/kept\n")
    customize(kitchen.inputs("edit.sh", tree=tree, inherited=laid), kitchen.tools)
    assert told == ["`web` changed what an overlay below has laid: `/etc/kept`"]
