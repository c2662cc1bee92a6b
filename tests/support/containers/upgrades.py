"""A new template for the container of a rig."""

from builder.model.value import Digest
from builder.runtime.upgrade.upgrade import UpgradeRequest
from builder.templates.local import Template
from tests.support.containers.rig import Rig

NEW = Digest("sha256:" + "cd" * 32)


WORK = f"""
from builder.runtime.upgrade import health, upgrade
from builder.templates.local import Template
from builder.runtime.upgrade.upgrade import UpgradeRequest
folder = home / "templates" / ("cd" * 32)
template = Template(digest={NEW!r}, name="tiny", folder=folder, names=("tiny",))
"""


def order(rig: Rig, **options: object) -> UpgradeRequest:
    folder = rig.places.data / "templates" / ("cd" * 32)
    template = Template(digest=NEW, name="tiny", folder=folder, names=("tiny",))
    reinstall, start = bool(options.get("reinstall")), bool(options.get("start", True))
    return UpgradeRequest(template, reinstall=reinstall, start=start, timeout=20)
