"""Local templates from tarballs and from the store, and tarballs from local templates."""

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from builder.host.trees.durable import disk_errors, draft_of
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError, RecipeError
from builder.model.manifest import MANIFEST_PATH, Manifest
from builder.model.value import canonical
from builder.store import Store
from builder.store.use import lease
from builder.templates.local import ROOTFS, TREE, Tag, Template, Templates

_NO_LINK = {errno.EXDEV, errno.EMLINK}

# Most builds end with a template that is known already; what unpacks is imported for the others.


def import_template(source: Path, templates: Templates, *, name: str | None = None) -> Template:
    """Unpack a tarball, which may be anybody's, and give it a name: its own, or another one."""
    from builder.formats.tar.unpack import unpack

    with templates.draft() as draft:
        unpacked = unpack(source, draft / "rootfs")
        name = name or unpacked.manifest.name
        return templates.add(draft, unpacked.manifest, unpacked.digest, name)


def unpack_template(template: Template, templates: Templates, store: Store) -> None:
    """See to it that a template has its tree.

    Where the store is on the same file system and still has the tree, it is linked.
    """
    if template.unpacked:
        return
    from builder.formats.tar.unpack import unpack

    with templates.draft() as draft, lease(store.root):
        rootfs = draft / ROOTFS
        tree = _tree_of(template, store)
        if tree is None or not _link_tree(tree, rootfs, template.manifest):
            unpacked = unpack(template.tarball, rootfs)
            if unpacked.digest != template.digest:
                raise _damaged(template)
        templates.put_tree(template, rootfs)


def output_folder(folder: Path) -> None:
    """See to it that the folder that `-o` names is there and takes files; before the work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RecipeError(f"`{folder}` is not a folder", hint="-o takes a folder") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise HostError(
            f"cannot make the folder `{folder}`: {reason}", hint="name another one with -o"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HostError(f"cannot write to `{folder}`", hint="name another folder with -o")


def export_template(template: Template, folder: Path, *, jobs: int) -> Path:
    """Write a template as NAME_ARCH.tar.zst into a folder, whole or not at all; give its path."""
    from builder.formats.tarball import suffix

    manifest = template.manifest
    name = template.names[0] if template.names else manifest.name
    output_folder(folder)
    target = folder / f"{name}_{manifest.arch}{suffix}"
    with disk_errors(folder), draft_of(target) as draft:
        if template.unpacked:
            from builder.formats.level import LEVEL
            from builder.formats.tarball import pack

            pack(template.rootfs, manifest, draft, level=LEVEL, jobs=jobs)
        else:
            _copy_tarball(template, draft)
        draft.rename(target)
    return target


def _copy_tarball(template: Template, target: Path) -> None:
    shutil.copyfile(template.tarball, target)
    with target.open("rb") as file:
        if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != template.digest:
            raise _damaged(template)


def _damaged(template: Template) -> HostError:
    return HostError(
        f"the template `{template.manifest.name}` is damaged: `{template.tarball}`",
        hint=f"oven template rm {template.digest[7:19]}, and build or import it again",
    )


def _tree_of(template: Template, store: Store) -> Path | None:
    """Give the tree in the store that the template was packed from, if it is still there."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        noted = msgspec.json.decode((template.folder / TREE).read_bytes(), type=Tag)
        return store.tree(noted.digest)
    return None


def link(source: Path, target: Path) -> bool:
    """Make a hard link; False where that is impossible."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def _link_tree(tree: Path, rootfs: Path, manifest: Manifest) -> bool:
    """Make the tree that unpacking would give out of hard links; False where that is impossible.

    The store's files are shared and stay as they are; folders and the manifest are new.
    """
    from builder.host.overlayfs.fold import link_tree

    try:
        link_tree(tree, rootfs)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        remove_tree(rootfs)
        return False
    _put_manifest(rootfs, manifest)
    return True


def _put_manifest(rootfs: Path, manifest: Manifest) -> None:
    """Add the manifest as the tarball has it; packing has seen that its parents are folders."""
    path = rootfs / MANIFEST_PATH
    parents = [one for one in reversed(path.parents) if one.is_relative_to(rootfs)]
    times = {one: one.stat().st_mtime_ns for one in parents if one.exists()}
    for one in parents:
        if one not in times:
            one.mkdir()
            one.chmod(0o755)
    path.unlink(missing_ok=True)
    path.write_bytes(canonical(manifest))
    path.chmod(0o644)
    epoch = manifest.epoch * 10**9
    for one in (path, *parents):
        os.utime(one, ns=(epoch, times.get(one, epoch)))
