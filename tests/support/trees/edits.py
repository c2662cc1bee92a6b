"""Trees with random content, and random changes to them, both decided by a seed."""

import os
import random
import shutil
from pathlib import Path

TIMES = (0, 1, 1_600_000_000, 1_650_000_000)


def make_tree(root: Path, dice: random.Random, *, files: int = 60) -> Path:
    """Make a tree of folders, files, links and holes."""
    root.mkdir()
    folders = [root]
    for number in range(8):
        folders.append(dice.choice(folders) / _name(dice, f"folder{number}"))
        folders[-1].mkdir()
    for _ in range(files):
        _add(root, dice)
    _set_times(root, dice)
    return root


def edit(root: Path, dice: random.Random) -> None:
    """Change a few things in a tree as an overlay would: no file is ever written in place."""
    for _ in range(dice.randrange(1, 6)):
        dice.choice((_add, _add, _remove, _replace, _link, _rename, _set_modes))(root, dice)
    _set_times(root, dice)


def _add(root: Path, dice: random.Random) -> None:
    place = dice.choice(_folders(root)) / _name(dice, f"file{dice.randrange(10**9)}")
    kind = dice.randrange(12)
    if kind == 0:
        place.symlink_to(dice.choice(("gone", "/etc/x", "y" * 200)))
    elif kind == 1:
        place.mkdir()
    elif kind == 2:
        with place.open("wb") as file:
            file.truncate(dice.choice((1 << 16, 3 << 20)))
            file.seek(dice.randrange(1 << 16))
            file.write(b"bread")
    else:
        size = dice.choice((0, 1, 511, 512, 5000, 100_000, 700_000))
        place.write_bytes(_noise(dice, size))
        place.chmod(dice.choice((0o644, 0o755, 0o600)))
    if not place.is_symlink() and not dice.randrange(8):
        os.setxattr(place, "user.note", _noise(dice, 10))


def _remove(root: Path, dice: random.Random) -> None:
    if everything := _all(root):
        doomed = dice.choice(everything)
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed)
        else:
            doomed.unlink()


def _replace(root: Path, dice: random.Random) -> None:
    if files := _files(root):
        file = dice.choice(files)
        status = file.stat()
        file.unlink()
        same = dice.randrange(2)
        file.write_bytes(_noise(dice, status.st_size if same else dice.randrange(5000)))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _link(root: Path, dice: random.Random) -> None:
    if files := _files(root):
        place = dice.choice(_folders(root)) / _name(dice, f"link{dice.randrange(10**9)}")
        place.hardlink_to(dice.choice(files))


def _rename(root: Path, dice: random.Random) -> None:
    if files := _files(root):
        file = dice.choice(files)
        file.rename(file.with_name(_name(dice, f"renamed{dice.randrange(10**9)}")))


def _set_modes(root: Path, dice: random.Random) -> None:
    dice.choice(_folders(root)).chmod(dice.choice((0o755, 0o700, 0o1777)))


def _set_times(root: Path, dice: random.Random) -> None:
    for path in [root, *_all(root)]:
        if path.lstat().st_mtime not in TIMES and path.lstat().st_nlink < 3:
            time = dice.choice(TIMES)
            os.utime(path, (time, time), follow_symlinks=False)


def _name(dice: random.Random, plain: str) -> str:
    return dice.choice(
        (plain, plain, f"{plain}-ß", plain + "n" * 150, os.fsdecode(b"\xff") + plain)
    )


def _noise(dice: random.Random, size: int) -> bytes:
    words = dice.randbytes(64)
    return (words * (size // 64 + 1))[:size]


def _all(root: Path) -> list[Path]:
    found = [
        Path(folder, name)
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
    ]
    return sorted(found, key=os.fsencode)


def _folders(root: Path) -> list[Path]:
    return [root, *(path for path in _all(root) if path.is_dir() and not path.is_symlink())]


def _files(root: Path) -> list[Path]:
    return [path for path in _all(root) if path.is_file() and not path.is_symlink()]
