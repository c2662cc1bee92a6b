"""The one way in: trees of strangers are reached through the audited module, and only so.

Outside of `builder/host`, each call that reaches files otherwise has its place in `OTHERWISE`,
with a word on whose they are. A new call fails until somebody has thought about that: of a tree
that a container, a package, an archive or a script can have written, nothing belongs in the table
that `TreeIO`, or `Project` for what a recipe's author wrote, can do as well.
"""

import pytest

from tests.support.file_calls import calls, calls_of
from tests.support.oven import CHECKOUT

BUILDER = CHECKOUT / "builder"
FLOORS = ("proof", "stages", "runtime", "templates", "recipes", "appliance", "formats", "distros")

RECORDS = "records, locks and drafts of Oven's own, in folders that nobody else may write"
RUNS = "what Oven keeps while a container runs, beside its root"
LAYERS = (
    "layers as folders that are moved whole: their names are Oven's, what is in them stays closed"
)
HOST = "the host's own: /proc, /sys, /etc, its programs"
MADE = "files that Oven makes in a folder that is new, before anything of a stranger is in it"
STORE = "objects of the store, which are called by their hash"
NAMED = "a file or folder that the person who runs Oven has named"
LISTS = "indexes that apt and dnf have verified, in folders of their own"
OVERLAY = "the folder that `diff --as-overlay` writes, named by the person and new"
STILL = "layers of a container that is stopped or halted, told by a listing that follows no link"
UNPACKED = "an archive that was unpacked strictly into a draft just now; files of the store"
LISTED = (
    "a tree of the store, whose manifest has told what each name is; the last link is not followed"
)
DRAFT = (
    "`TreeDraft`, the audited way to fill a new tree: folders by descriptor, and no link followed"
)
CONTROL = "control files of packages as Oven has laid them out, linked into a descriptor"
DESK = "packages linked by descriptors that its own desk opens below TreeIO"
VOLUMES = "volumes as folders that are moved whole, and folders that the person shows inside"
HELD = "a descriptor that was opened by the audited module, by the caller or for a lock"

OTHERWISE: dict[str, tuple[str, str]] = {
    "runtime/recovery/cleaning.py": (".exists", RUNS),
    "stages/accept.py": (".write_bytes", STORE),
    "runtime/record/given.py": (".read_bytes", RUNS),
    "runtime/record/locks.py": (".stat os.open", RECORDS),
    "runtime/reconcile.py": (".exists .read_bytes .unlink", RECORDS),
    "recipes/lock_files.py": (".exists .read_bytes .stat .unlink os.utime", NAMED),
    "recipes/first_boot.py": (".read_bytes", NAMED),
    "runtime/bundle/accounts.py": (".lstat .write_bytes", "its `_tree`, which is a TreeIO"),
    "runtime/diff/as_overlay.py": (
        ".chmod .exists .hardlink_to .mkdir .open .symlink_to .write_bytes",
        OVERLAY,
    ),
    "runtime/lifecycle/boot.py": (
        ".mkdir .read_bytes .read_text .write_bytes .write_text open os.chown os.open",
        RUNS,
    ),
    "runtime/storage/change.py": (
        ".exists .is_dir .mkdir .read_bytes .rename .unlink os.listdir",
        RECORDS + "; " + LAYERS,
    ),
    "runtime/history/clone.py": (".exists .mkdir .rename .rmdir", LAYERS),
    "runtime/record/container.py": (".read_bytes os.listdir", RECORDS),
    "runtime/access/copying.py": (".is_dir .lstat .mkdir", "trees of `_Opened`, which are TreeIO"),
    "runtime/storage/image.py": (".exists .rename .unlink os.statvfs", LAYERS),
    "runtime/lifecycle/on_exit.py": (".mkdir .write_text", RUNS),
    "runtime/bundle/oci_runtime.py": (
        (
            ".chmod .exists .is_file .iterdir .mkdir .read_bytes .rename .stat .unlink "
            ".write_bytes shutil.copyfile"
        ),
        HOST,
    ),
    "runtime/record/events.py": (
        ".exists .read_bytes .rename .stat .unlink open os.listdir os.open",
        RECORDS,
    ),
    "runtime/access/calls.py": (".read_text .unlink .write_bytes", RUNS),
    "runtime/access/exec.py": ("open os.open", RUNS),
    "runtime/bundle/instance.py": (".rename .unlink open os.open", RUNS),
    "runtime/record/instances.py": (".read_bytes .unlink", RECORDS),
    "runtime/bundle/first_boot.py": (".read_bytes .rename .unlink open os.open", RECORDS),
    "runtime/record/ids.py": (
        ".exists .read_bytes .read_text .stat .unlink .write_text os.listdir",
        RECORDS,
    ),
    "runtime/recovery/repair.py": (".exists .is_dir os.listdir os.path.exists", RECORDS),
    "runtime/storage/layers.py": (
        (
            ".chmod .lstat .mkdir os.chown os.getxattr os.link os.listdir os.listxattr "
            "os.lstat os.mkdir os.path.lexists os.setxattr os.utime"
        ),
        STILL,
    ),
    "runtime/storage/live.py": (
        ".stat .unlink .write_bytes os.open",
        LAYERS + ", beside them a file that tells the time; /dev/null",
    ),
    "runtime/storage/whole.py": ("os.open", HOST),
    "runtime/resources/limits.py": (".exists .iterdir .read_text .write_text", HOST),
    "runtime/access/logs.py": (".exists .open .read_bytes", RUNS),
    "runtime/inspect/shared_memory.py": (".is_dir .iterdir .stat", LAYERS),
    "runtime/network/veth.py": (".glob .read_text", HOST),
    "runtime/network/definitions.py": (".glob .read_bytes .unlink", RECORDS),
    "runtime/network/leases.py": (".mkdir .read_bytes .unlink os.open", RECORDS),
    "runtime/network/dns.py": (
        ".chmod .exists .iterdir .mkdir .read_bytes .rename .rmdir .stat .unlink .write_bytes",
        RUNS,
    ),
    "runtime/network/resolv_conf.py": (".read_text", HOST),
    "runtime/network/inspect.py": (".mkdir .open .read_text", HOST),
    "runtime/recovery/orphans.py": ("os.path.exists", RECORDS),
    "runtime/storage/writable.py": (".chmod .exists .mkdir .open .rmdir .touch os.statvfs", LAYERS),
    "runtime/bundle/pending.py": (".exists .read_bytes os.path.exists", RECORDS),
    "runtime/bundle/devices.py": (
        ".chmod .mkdir .stat .touch os.chown os.mknod",
        f"{HOST}; nodes in a new file system that nobody else sees",
    ),
    "runtime/bundle/furnish.py": (".write_text", RUNS),
    "runtime/bundle/live_devices.py": (".mkdir", RUNS),
    "runtime/bundle/lxcfs.py": (".exists .is_dir", HOST),
    "runtime/bundle/process.py": (".mkdir .read_text", f"{HOST}; {RUNS}"),
    "runtime/bundle/reaper.py": (".open", HOST),
    "runtime/bundle/rootfs.py": (".mkdir .read_bytes", f"{RUNS}; {RECORDS}"),
    "runtime/health/declared.py": (".read_bytes", RECORDS),
    "runtime/lifecycle/run.py": (".exists .mkdir .open .write_bytes os.mkfifo os.open", RUNS),
    "runtime/history/schedule.py": (".exists .read_bytes .unlink", RECORDS),
    "runtime/lifecycle/update.py": (".unlink .write_bytes", RECORDS),
    "runtime/inspect/show.py": (".is_dir open os.listdir", RECORDS),
    "runtime/history/snapshots.py": (".is_dir", LAYERS),
    "runtime/record/state.py": (".read_bytes .unlink open", RECORDS),
    "runtime/lifecycle/create.py": (".exists .is_dir .mkdir .rename .write_bytes", RECORDS),
    "runtime/recovery/tasks.py": (".read_bytes .unlink os.path.exists", RECORDS),
    "templates/local.py": (
        ".chmod .exists .glob .is_dir .iterdir .mkdir .read_bytes .rmdir .unlink",
        RECORDS,
    ),
    "runtime/upgrade/upgrade.py": (".mkdir", LAYERS),
    "runtime/resources/usage.py": (".read_text", HOST),
    "runtime/network/pasta.py": (".exists .read_text .write_text os.access", HOST),
    "runtime/storage/volumes.py": (
        ".glob .mkdir .rename .resolve .stat os.listdir",
        VOLUMES,
    ),
    "runtime/storage/own_volumes.py": (
        ".exists .glob .mkdir .read_bytes .rename",
        RECORDS + "; " + VOLUMES,
    ),
    "runtime/backup/create.py": (".mkdir", MADE),
    "runtime/backup/repository.py": (
        ".chmod .exists .read_bytes .read_text .stat",
        RECORDS + "; " + NAMED,
    ),
    "runtime/backup/restore.py": (".exists .mkdir .stat", RECORDS + "; " + MADE),
    "runtime/backup/work.py": (".glob .is_dir .mkdir .read_bytes .stat", RECORDS),
    "runtime/record/rootless.py": (".glob .is_dir", RECORDS),
    "stages/customize.py": (".mkdir", MADE),
    "proof/differing.py": (".open", "two tarballs that Oven has just packed"),
    "stages/fetch_files.py": (
        ".is_dir .readlink .stat os.scandir",
        UNPACKED,
    ),
    "recipes/find.py": (".exists .glob .is_dir .is_file .iterdir", NAMED),
    "recipes/load.py": (".exists .is_file .resolve", NAMED),
    "recipes/outdated.py": (".exists", NAMED),
    "recipes/repositories.py": (".glob .is_file .read_bytes .stat open", HOST + "; " + HELD),
    "recipes/includes.py": (".resolve", NAMED),
    "recipes/reading.py": (".exists .is_dir .is_file .open open", NAMED),
    "stages/resolve.py": (".resolve", NAMED),
    "stages/tree/first_boot.py": (".read_bytes", STORE),
    "stages/tree/scripts.py": (".chmod .mkdir shutil.copyfile", MADE),
    "templates/exchange.py": (
        (
            ".chmod .exists .mkdir .open .read_bytes .rename .stat .unlink .write_bytes "
            "os.access os.link os.utime shutil.copyfile"
        ),
        UNPACKED,
    ),
    "runtime/history/transfer.py": (
        ".chmod .exists .mkdir .open .rename .rmdir .unlink os.statvfs",
        LAYERS + "; " + NAMED,
    ),
    "proof/trial.py": (
        ".is_dir .mkdir .write_bytes .write_text shutil.copyfile shutil.copytree",
        MADE,
    ),
    "formats/content.py": (
        "open os.open",
        LISTED,
    ),
    "stages/tree/overlay.py": (".read_bytes", STORE),
    "stages/tree/overlay_files.py": (
        ".open os.listxattr",
        f"{STORE}; {HELD}",
    ),
    "formats/container.py": (
        ".open .stat os.getxattr os.listxattr os.open os.readlink",
        STILL,
    ),
    "formats/tar/pour.py": ("open os.open", HELD),
    "recipes/project.py": (".is_file", "`Project` itself, which asks its TreeIO"),
    "formats/tarball.py": (".open", NAMED),
    "formats/tar/unpack.py": (
        (
            ".mkdir .open .rename os.chmod os.chown os.link os.mkdir os.mkfifo "
            "os.open os.setxattr os.stat os.symlink os.utime"
        ),
        DRAFT,
    ),
    "distros/debian/bootstrap.py": (".exists .mkdir .read_bytes .stat os.link os.unlink", MADE),
    "distros/debian/database.py": (
        ".exists .read_bytes os.link os.listdir",
        CONTROL,
    ),
    "distros/debian/package/deb.py": (".open .stat", STORE),
    "distros/debian/debootstrap.py": (".mkdir .write_bytes .write_text os.link", MADE),
    "distros/debian/archive/elsewhere.py": (".read_bytes", LISTS),
    "distros/debian/archive/fetched.py": (".read_bytes .write_bytes", LISTS),
    "distros/debian/archive/indexes.py": (".open .read_bytes .stat", LISTS),
    "distros/debian/archive/pockets.py": (".glob .read_bytes", LISTS),
    "distros/debian/install.py": (".write_text", MADE),
    "distros/debian/link.py": (
        ".mkdir os.link os.mkdir os.readlink os.stat os.utime",
        DESK,
    ),
    "distros/debian/archive/mirrors.py": (".exists .glob .read_text", HOST),
    "distros/debian/archive/solve.py": (
        ".exists .glob .mkdir .read_bytes .stat .touch .write_bytes .write_text",
        LISTS,
    ),
    "distros/debian/package/unpack.py": (".chmod .mkdir .read_text .write_bytes os.utime", MADE),
    "distros/buildroot.py": (".exists .mkdir os.link", MADE),
    "distros/rpm/dnf.py": (".is_file .mkdir .rglob .stat", LISTS),
    "distros/rpm/family.py": (".mkdir", LISTS),
    "distros/rpm/install.py": (".chmod .mkdir .write_bytes .write_text", MADE),
    "distros/rpm/keys.py": (".glob .is_file .read_bytes", HOST),
    "distros/rpm/reasons.py": (".exists .read_text", "copies, in the sandbox that it runs in"),
    "distros/rpm/metadata.py": (".open .read_bytes", LISTS),
}
"""For each module the calls that reach files past the audited module, and why they may."""


def modules() -> list[str]:
    paths = (path for floor in FLOORS for path in (BUILDER / floor).rglob("*.py"))
    return sorted(str(path.relative_to(BUILDER)) for path in paths)


@pytest.mark.parametrize("name", modules())
def test_files_are_reached_as_the_table_says(name: str) -> None:
    allowed = set(OTHERWISE.get(name, ("", ""))[0].split())
    found = list(calls_of(BUILDER / name))
    new = [f"builder/{name}:{line}: {call}" for line, call in found if call not in allowed]
    assert new == [], "is that a stranger's tree? then TreeIO; else a word in OTHERWISE"
    assert allowed - {call for _, call in found} == set(), "nothing needs these any more"


def test_the_table_is_about_what_is_there() -> None:
    assert OTHERWISE.keys() - set(modules()) == set()
    assert all(reason for _, reason in OTHERWISE.values())


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("open(rootfs / 'etc/passwd')", "open"),
        ("os.open(path, os.O_RDONLY)", "os.open"),
        ("os.path.exists(rootfs)", "os.path.exists"),
        ("shutil.rmtree(rootfs)", "shutil.rmtree"),
        ("(rootfs / 'etc/passwd').read_text()", ".read_text"),
        ("tree = Path(rootfs)\ntree.mkdir()", ".mkdir"),
        ("def f(tree: Path): tree.unlink()", ".unlink"),
    ],
)
def test_a_new_call_is_seen(code: str, call: str) -> None:
    assert [name for _, name in calls(code)] == [call]


@pytest.mark.parametrize(
    "code",
    [
        "def f(tree: TreeIO): tree.read_bytes('etc/passwd')",
        "def f(tree: 'TreeIO'): tree.read_bytes('etc/passwd')",
        "with TreeIO(rootfs) as tree: tree.unlist('x'); tree.mkdir('x')",
        "os.getpid(); os.path.join('a', 'b'); text.replace('a', 'b')",
    ],
)
def test_the_way_in_is_no_finding(code: str) -> None:
    assert list(calls(code)) == []
