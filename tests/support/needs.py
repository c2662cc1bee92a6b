"""What a test needs of the machine: a laptop without it skips, a CI machine without it fails."""

import ctypes
import functools
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from builder.model.errors import OvenError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked up: a laptop's own PATH often lacks the `sbin` folders."""


def needs(*abilities: str) -> pytest.MarkDecorator:
    """Mark a test, or with `pytestmark` a module, by what the machine must have.

    Known are `root`, `archive` (a Debian mirror answers), `archive:ARCH` (it has that architecture
    of bookworm whole), `userns` (an ordinary user may have a user namespace), `program:NAME` and
    `library:NAME`.
    """
    for ability in abilities:
        if ability not in CHECKS and ability.partition(":")[0] not in KINDS:
            msg = f"nobody knows how to tell whether there is `{ability}`"
            raise ValueError(msg)
    return pytest.mark.needs(*abilities)


def require(*abilities: str) -> None:
    """Skip the running test unless the machine has all of these; with CI=true, fail it."""
    lacks = [reason for ability in abilities if (reason := lack(ability)) is not None]
    if not lacks:
        return
    reason = "; ".join(lacks)
    if os.environ.get("CI") == "true":
        pytest.fail(f"this machine must have all that tests need: {reason}", pytrace=False)
    pytest.skip(reason)


@functools.cache
def lack(ability: str) -> str | None:
    """Tell what keeps the machine from having an ability; None when it has it."""
    kind, _, name = ability.partition(":")
    return KINDS[kind](name) if name else CHECKS[ability]()


def _library(name: str) -> str | None:
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return None


def _program(name: str) -> str | None:
    return None if shutil.which(name, path=PATH) else f"`{name}` is not installed"


def _root() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    # Root of somebody else's user namespace may not mount or make devices.
    whole = Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", ALL_IDS]
    return None if whole else "root of a user namespace is not root enough"


ALL_IDS = "4294967295"


def _archive() -> str | None:
    from builder.distros.debian.archive.mirrors import find_mirrors

    try:
        urls = find_mirrors({})["debian"]
    except OvenError as error:
        return error.problem
    reasons = []
    for url in urls:
        try:
            with urllib.request.urlopen(f"{url}/dists/stable/InRelease", timeout=20):
                return None
        except OSError as error:
            reasons.append(f"{url}: {error}")
    return f"no Debian mirror answers ({'; '.join(reasons)})"


def _whole_archive(arch: str) -> str | None:
    """Hold the sizes of indexes against what is signed: some mirrors miss some of them."""
    from builder.distros.debian.archive.mirrors import find_mirrors
    from builder.distros.debian.family import DEBIAN

    if reason := lack("archive"):
        return reason
    mirrors = find_mirrors({})
    for archive, pocket in DEBIAN.pockets("bookworm", arch):
        folder, index = f"{mirrors[archive][0]}/dists/{pocket}", f"main/binary-{arch}/Packages.xz"
        try:
            with urllib.request.urlopen(f"{folder}/InRelease", timeout=20) as answer:
                told = re.search(
                    rf"^ \S{{64}} +(\d+) {index}$", answer.read().decode(), re.MULTILINE
                )
            asked = urllib.request.Request(f"{folder}/{index}", method="HEAD")
            with urllib.request.urlopen(asked, timeout=20) as answer:
                size = answer.headers["Content-Length"]
        except OSError as error:
            return f"{folder}: {error}"
        if told is None or told[1] != size:
            return f"{folder}/{index} is not the one that its InRelease tells of"
    return None


def _userns() -> str | None:
    if reason := _program("newuidmap") or _program("unshare"):
        return reason
    # `nobody` stands for every ordinary user: root may make namespaces where others may not.
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    argv = [*(other if os.geteuid() == 0 else []), "unshare", "--user", "--map-root-user", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": PATH})
    return None if done.returncode == 0 else f"no user namespaces: {done.stderr.strip()}"


CHECKS: Mapping[str, Callable[[], str | None]] = {
    "root": _root,
    "archive": _archive,
    "userns": _userns,
}
KINDS: Mapping[str, Callable[[str], str | None]] = {
    "archive": _whole_archive,
    "library": _library,
    "program": _program,
}
