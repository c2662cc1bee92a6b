"""What makes a secret at the first boot, where no systemd is there to look after it."""

import subprocess
from pathlib import Path

from builder.distros.first_boot import FirstBootUnit, first_boot_line


def run(folder: Path, command: str) -> str:
    paths = (str(folder / "key"), str(folder / "key.pub"))
    row = FirstBootUnit("app-key", "usr/bin/app", paths, ("/bin/sh", "-euc", command))
    argv = ["/bin/sh", "-c", first_boot_line(row)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    return done.stderr


def test_it_is_made_once(tmp_path: Path) -> None:
    command = "echo ran >>runs; echo 'a $secret' >key; echo public >key.pub"
    assert run(tmp_path, command) + run(tmp_path, command) == ""
    assert (tmp_path / "key").read_text() == "a $secret\n"
    assert (tmp_path / "runs").read_text() == "ran\n"


def test_what_makes_nothing_is_told_of(tmp_path: Path) -> None:
    told = f"oven: app-key: not all is made of {tmp_path}/key {tmp_path}/key.pub\n"
    assert run(tmp_path, "true") == told
    assert run(tmp_path, "echo secret >key") == told
    assert run(tmp_path, ": >key.pub") == told
