"""autopkgtest runs tests of packages in containers: it reverts, reboots and leaves nothing."""

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven
from tests.system.conftest import Built

pytestmark = [
    needs("root", "archive", "program:autopkgtest", "program:conmon", "program:runc"),
    pytest.mark.slow,
]

SERVER = CHECKOUT / "contrib/autopkgtest-virt-oven"
FILES = {
    "debian/control": """\
        Source: tiny
        Maintainer: Nobody <nobody@example.test>
        Section: misc
        Priority: optional
        Standards-Version: 4.6.2

        Package: tiny
        Architecture: all
        Description: tiny
        """,
    "debian/changelog": """\
        tiny (1) unstable; urgency=low

          * First.

         -- Nobody <nobody@example.test>  Mon, 30 Nov 2026 12:00:00 +0000
        """,
    "debian/tests/control": """\
        Tests: one two
        Depends: coreutils
        Restrictions: needs-root, isolation-container, breaks-testbed

        Tests: three
        Depends: coreutils
        Restrictions: needs-root, isolation-container, needs-reboot

        Tests: four
        Depends: coreutils
        """,
    # What one of them leaves, the other does not find; nor is what it leaves running waited for.
    "debian/tests/one": """\
        #!/bin/sh -e
        test ! -e /seen
        touch /seen
        sleep 1000 &
        echo left >"$AUTOPKGTEST_ARTIFACTS/by-$(id -un)"
        """,
    "debian/tests/three": """\
        #!/bin/sh -e
        case "$AUTOPKGTEST_REBOOT_MARK" in
            "") touch /stays; /tmp/autopkgtest-reboot again;;
            again) test -e /stays;;
        esac
        """,
    "debian/tests/four": """\
        #!/bin/sh
        exit 255
        """,
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / "tiny" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(content))
        file.chmod(0o755)
    tests = tmp_path / "tiny/debian/tests"
    (tests / "two").write_bytes((tests / "one").read_bytes())
    (tests / "two").chmod(0o755)
    return tmp_path / "tiny"


def test_a_package_is_tested(oven: Oven, built: Built, package: Path, tmp_path: Path) -> None:
    built("debian-bookworm")
    command = tmp_path / "oven"
    command.write_text(f'#!/bin/sh\ncd {oven.cwd}\nexec {" ".join(oven.argv)} "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        [
            "autopkgtest", "-U", "--no-built-binaries", f"--output-dir={tmp_path}/out", package,
            "--", SERVER, f"--oven={command}", "debian-bookworm",
        ],
        env={**oven.environment, "PATH": os.environ["PATH"]}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr  # some test has failed
    rows = (tmp_path / "out/summary").read_text().splitlines()
    told = [" ".join(row.split()[:2]) for row in rows]
    assert told == ["one PASS", "two PASS", "three PASS", "four FAIL"]
    assert "non-zero exit status 253" in (tmp_path / "out/summary").read_text()
    assert (tmp_path / "out/artifacts/by-root").read_text() == "left\n"
    containers = [path.name for path in (oven.home / "containers").glob("autopkgtest-*")]
    assert containers == []
