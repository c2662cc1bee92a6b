"""Answers for packages that ask when they are configured."""

import msgspec
import pytest

from builder.stages.install import install, tree_of
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

ASKS = {
    "DEBIAN/templates": (
        "Template: asks/color\nType: select\nChoices: red, blue\nDefault: red\n"
        "Description: color\n The color.\n"
    ),
    "DEBIAN/config": (
        "#!/bin/sh -e\n. /usr/share/debconf/confmodule\ndb_input high asks/color || true\ndb_go\n"
    ),
    "DEBIAN/postinst": (
        "#!/bin/sh -e\n. /usr/share/debconf/confmodule\ndb_get asks/color\necho $RET >/color\n"
    ),
}


@pytest.mark.parametrize(
    ("selections", "color"), [((), "red"), (("asks asks/color select blue",), "blue")]
)
def test_packages_are_answered_before_they_ask(
    kitchen: Kitchen, selections: tuple[str, ...], color: str
) -> None:
    package = kitchen.package("asks", depends="debconf", **ASKS)
    inputs = kitchen.installation(msgspec.structs.replace(package, requested=True))
    inputs = msgspec.structs.replace(inputs, selections=selections)
    tree = tree_of(install(inputs, kitchen.tools).tree, kitchen.store)
    assert (tree / "color").read_text() == f"{color}\n"
