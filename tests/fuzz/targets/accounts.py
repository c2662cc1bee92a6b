"""The tables of users and groups in a container, whose root writes what it likes."""

import contextlib

from builder.host.trees.treeio import TreeIO
from builder.model.errors import OvenError
from builder.runtime.bundle.accounts import Accounts
from builder.runtime.bundle.lookup import find_user
from tests.fuzz.scratch import scratch

_NAMES = ("passwd", "group", "shadow", "gshadow")
_CUT = b"\n--\n"


def seeds() -> list[bytes]:
    """Give all four tables."""
    tables = [
        b"root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh",
        b"root:x:0:\nsudo:x:27:me\nme:x:1000:",
        b"root:*:1:0:99999:7:::\nme:!:1:0:99999:7:::",
        b"root:*::\nsudo:*::me",
    ]
    return [_CUT.join(tables), _CUT.join(tables[:2])]


def play(data: bytes) -> None:
    """Look people up, and do to the tables what a first boot does."""
    with scratch() as folder:
        (folder / "etc").mkdir()
        for name, table in zip(_NAMES, data.split(_CUT), strict=False):
            (folder / "etc" / name).write_bytes(table)
        with TreeIO(folder) as tree:
            for wanted in ("root", "me", "me:sudo", "1000", "0:0"):
                with contextlib.suppress(OvenError):
                    find_user(tree, wanted, 65536)
            accounts = Accounts(tree, 0)
            accounts.home("root")
            accounts.add("new", None, "/bin/sh")
            accounts.set_password("root", "$6$x")
            accounts.home("new")
            accounts.save()
            accounts.join("new", ("sudo",))
