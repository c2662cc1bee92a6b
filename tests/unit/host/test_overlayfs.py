"""overlayfs: how layers are named to the kernel, and what of a layer is the kernel's own."""

import os
import stat
from pathlib import Path

import pytest

from builder.host.overlayfs import notes
from builder.host.overlayfs.mount import Overlay, _options


@pytest.mark.parametrize("volatile", [False, True])
@pytest.mark.parametrize("of_user", [False, True])
def test_options_say_what_the_kernel_reads(volatile: bool, of_user: bool) -> None:
    layers = (Path("/a:b"), Path("/c,d\\e"))
    overlay = Overlay(layers, Path("/u"), Path("/w"), volatile=volatile, of_user=of_user)
    assert _options(overlay) == (
        "lowerdir=/a\\:b:/c\\,d\\\\e,upperdir=/u,workdir=/w"
        ",index=off,redirect_dir=nofollow,metacopy=off"
        + (",volatile" if volatile else "")
        + (",userxattr" if of_user else "")
    )


@pytest.mark.parametrize("kind", ["trusted", "user"])
def test_notes_are_known_whoever_mounted(kind: str) -> None:
    assert notes.is_note(f"{kind}.overlay.origin")
    assert not notes.is_note(f"{kind}.overlays")
    assert notes.replaces(["user.mine", f"{kind}.overlay.opaque"])
    assert notes.is_moved([f"{kind}.overlay.redirect"])
    assert not notes.is_moved([f"{kind}.overlay.opaque"])
    assert not notes.replaces(["user.opaque"])


@pytest.mark.parametrize(
    ("mode", "device", "expected"),
    [(stat.S_IFCHR, 0, True), (stat.S_IFCHR, 259, False), (stat.S_IFBLK, 0, False),
     (stat.S_IFREG, 0, False)],
)  # fmt: skip
def test_only_the_node_0_0_says_that_there_is_nothing(
    mode: int, device: int, expected: bool
) -> None:
    status = os.stat_result([mode, *[0] * 9], {"st_rdev": device})
    assert notes.is_whiteout(status) is expected
