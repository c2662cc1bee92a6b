"""What a command loads: modules that are slow to load come when there is work for them."""

import subprocess
import sys

import pytest

BUILD = (
    "builder.cli.building.workplace builder.build builder.distros.debian.distribution"
    " builder.stages.accept"
)
QUICK = "dataclasses inspect shutil subprocess click rich jinja2 requests zstandard"
UNCHANGED = (
    "jinja2 requests rich tarfile builder.distros.debian.archive.solve"
    " builder.distros.debian.bootstrap builder.distros.debian.package.deb builder.formats.tarball"
    " builder.formats.tar.unpack builder.host.sandbox.sandbox builder.stages.probe"
    " builder.stages.tree.clean builder.appliance.rendering"
)


@pytest.mark.parametrize(
    ("names", "later"),
    [
        ("builder.cli.containers.commands builder.runtime.lifecycle.run", QUICK),
        ("builder.runtime.access.exec", f"{QUICK} builder.runtime.bundle.spec"),
        ("builder.runtime.inspect.show", QUICK),
        (BUILD, UNCHANGED),
        ("builder.cli.app builder.cli.appliances.test builder.testing.rig", "pytest"),
    ],
)  # fmt: skip
def test_what_is_slow_is_loaded_later(names: str, later: str) -> None:
    # typing_extensions is there for checks alone, and others load it where it is.
    code = f"""
import sys
sys.modules["typing_extensions"] = None
import {", ".join(names.split())}
print(*set({later.split()}) & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
