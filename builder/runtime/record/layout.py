"""Where all of a container lies: each name on disk, and beside it while it runs, once."""

from pathlib import Path

from builder.host.places import Places

RECORD = "container.json"
"""In a container's folder: what it is, and shall be from its next start on."""
END = "end.json"
"""How its first process last ended by itself."""
SCHEDULE = "schedule.json"
"""How often it gets a snapshot."""
BACKUP = "backup.json"
"""Where its backups go, and how often it gets one."""
SNAPSHOTS = "snapshots"
"""A folder of one file for each snapshot."""
TASK = "task.json"
"""What it was stopped for, by a command that lives or has left it to the next one."""
CHANGE = "change.json"
"""In a container's folder while its layers are moved: what is to be done, or undone."""
WISH = "wish.json"
"""The record that it gets once its disk has the size which that tells."""

UPPER, WORK, LAYERS = "upper", "work", "layers"
"""What the container changes now, what overlayfs needs beside it, and what lies below it."""
DRAFTS = "drafts"
"""Layers in the making; whoever comes next removes what is left there."""
IMAGE = "disk.img"
"""Holds these folders where disk space is limited; else they lie in the container's folder."""
PENDING, WRITTEN = "first-boot.json", "first-boot.written.json"
"""First-boot data that the container has not got yet; the same once all of it is written."""
INSTANCE = "instance.json"
"""What a container of an appliance was told, and what that comes to."""
SETTLING = "instance.before.json"
"""There while other answers are put into a running container: what there was before."""
CONSOLE = "console.log"
"""What its first process has printed."""
FAULT = "ended.log"
"""What went wrong where nobody was there to be told."""

STATE = "state.json"
"""In the folder that ends with the boot: what is known of a container that was started."""
GIVEN = "given.json"
"""What it has of the kernel and of the host's devices, whatever it shall have."""
SETTING = "setting"
"""There while the kernel may not hold what the record says."""
BUNDLE = "bundle"
"""What the OCI runtime is given."""
RUNTIME = "oci"
"""What the OCI runtime notes for itself."""
MONITOR = "conmon.pid"
"""Which process is the monitor."""
EXIT = "exit"
"""Where the monitor writes how the first process has ended, in a file of the container's name."""
SHARED = "host"
"""What the container sees as `/run/host`."""
NOTIFY = "notify"
"""In that folder: the socket by which an init says that it is ready (sd_notify(3))."""


def folder_of(places: Places, name: str) -> Path:
    """Give the folder where all of a container is kept."""
    return places.data / "containers" / name


def volatile_of(places: Places, name: str) -> Path:
    """Give the folder that exists only while a container runs."""
    return places.runtime / "containers" / name


def cgroup_of(places: Places, name: str) -> str:
    """Give the name of a container's cgroup, which all homes of Oven on this host share."""
    return f"{name}.{places.mark}"
