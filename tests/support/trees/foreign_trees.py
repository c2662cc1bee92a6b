"""Root file systems that others have made."""

import shutil
import subprocess
from pathlib import Path


def root_file_system(folder: Path) -> Path:
    """Lay out what a minirootfs has: one program under many names, and a few files."""
    root = folder / "mini-1.0"
    for name in ("bin", "etc", "dev", "proc", "sys", "tmp", "root", "run", "usr/bin", "var/log"):
        (root / name).mkdir(parents=True)
    found = shutil.which("busybox")
    assert found is not None
    shutil.copy(found, root / "bin/busybox")
    for name in ("sh", "cat", "ls", "true", "mkdir", "env", "id"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/os-release").write_text('NAME="Mini"\n')
    subprocess.run(["mknod", root / "dev/null", "c", "1", "3"], check=True)
    return root
