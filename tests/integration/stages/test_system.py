"""Settings of the system: target, keyboard, units of users."""

from pathlib import Path

import pytest

from builder.model.recipe.content import Services, System
from builder.stages.tree.asked import AskedError
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=default.target\n"


def test_target_keyboard_and_units_of_users(kitchen: Kitchen) -> None:
    kitchen.write("overlay/etc/systemd/user/mine.service", UNIT)
    tree = kitchen.cook(
        system=System(target="multi-user.target", keyboard="de"),
        services=Services(enable_for_users=("mine.service",)),
    )
    target = (tree / "etc/systemd/system/default.target").readlink()
    assert target.name == "multi-user.target"
    assert 'XKBLAYOUT="de"\n' in (tree / "etc/default/keyboard").read_text()
    assert "KEYMAP=de\n" in (tree / "etc/vconsole.conf").read_text()
    wants = tree / "etc/systemd/user/default.target.wants/mine.service"
    assert wants.readlink() == Path("/etc/systemd/user/mine.service")


@pytest.mark.parametrize(
    ("more", "where", "hint"),
    [
        (
            {"system": System(target="multiuser.target")},
            ("system", "target"),
            "`multi-user.target`",
        ),
        (
            {"services": Services(enable_for_users=("systemd-exi.service",))},
            ("services", "enable-for-users", 0),
            "`systemd-exit.service`",
        ),
        (
            {"services": Services(disable=("systemd-networkd.service", "none.service"))},
            ("services", "disable", 1),
            "",
        ),
        ({"system": System(locales=("de_DE.UTF-8",))}, ("system", "locales", 0), "add `locales`"),
        ({"system": System(timezone="Europe/Berln")}, ("system", "timezone"), "Europe/Berlin"),
    ],
)
def test_mistakes_point_to_their_line(
    kitchen: Kitchen, more: dict[str, object], where: tuple[str | int, ...], hint: str
) -> None:
    error = kitchen.refused(packages=(), **more)
    assert isinstance(error, AskedError)
    assert error.where == where
    assert hint in (error.hint or "")
