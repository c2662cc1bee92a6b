"""A file that leaves so many pages of a disk free."""

from tests.support.containers.rig import Rig

PAGE = 4096


class Filler:
    """A file that leaves so many pages of a disk free."""

    def __init__(self, rig: Rig) -> None:
        self.path = rig.places.data.parent / "filler"

    def leave(self, pages: int) -> None:
        with self.path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(PAGE))
            except OSError:
                file.truncate(max(0, file.seek(0, 2) - pages * PAGE))

    def free(self) -> None:
        self.path.unlink(missing_ok=True)
