"""Accept: take what was packed into the local templates, once it has been seen to boot."""

from dataclasses import dataclass

from builder.host.kernel.namespaces import current
from builder.host.places import Places
from builder.host.programs import program_version
from builder.host.sandbox.binfmt import host_arch
from builder.model.errors import StageError
from builder.model.recipe import Probe
from builder.model.value import Digest, canonical
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.request import probe_of
from builder.stages.pack import Packed
from builder.stages.stage import make
from builder.stages.tools import Tools
from builder.store import Store
from builder.store.damage import checked_blob
from builder.templates.local import ROOTFS, TARBALL, TREE, Tag, Template, Templates


def accept(
    packed: Packed, places: Places, tools: Tools, *, slot: str, probed: LoadedRecipe | None
) -> None:
    """Import a template, probe it as that recipe says, if one is given, and then give it its name.

    Where containers cannot run (an ordinary user, a foreign architecture) the probe is left out,
    and that is said.
    """
    templates = Templates(places.data)
    accepted = False
    while not accepted:
        template = import_built(packed, tools.store, templates)
        with templates.held(template.digest) as accepted:
            # Another build may have pruned it, since it has no name yet.
            if accepted:
                _accept(template, templates, Setting(places, tools, slot), probed)
    templates.prune_untagged()


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a template is accepted, with what, and as which part of a build."""

    places: Places
    tools: Tools
    slot: str


def _accept(
    template: Template, templates: Templates, at: Setting, recipe: LoadedRecipe | None
) -> None:
    places, tools, slot, init = at.places, at.tools, at.slot, None
    probe = probe_of(recipe) if recipe else None
    reason = _obstacle(template, probe) if probe else None
    if probe and reason is None:
        from builder.host.trees.treeio import TreeIO
        from builder.runtime.record import inits
        from builder.templates.exchange import unpack_template

        unpack_template(template, templates, tools.store)
        with TreeIO(template.rootfs) as tree:
            init = inits.find(tree) if tree.exists("sbin/init") else None
        reason = None if init else "since it has no init"
    if reason is not None:
        tools.report.say(f"{template.manifest.name}: not probed, {reason}")
    elif recipe and probe:
        if probe.may_fail and init != "systemd":
            tools.report.say(
                f"{template.manifest.name}: `may-fail` means units of systemd, which it does not"
                " boot with"
            )
        from builder.runtime.bundle import oci_runtime
        from builder.stages.probe import probe_stage, probing

        runtime = program_version(tools.run, (str(oci_runtime.find(places)), "--version"))
        inputs = probing(template, runtime, probe)
        stage = probe_stage(places, recipe)
        make(stage, inputs, tools, slot=f"{slot}/{template.manifest.name}")
    templates.tag(template.manifest.name, template.digest)


def _obstacle(template: Template, probe: Probe) -> str | None:
    if probe.skip:
        return f"as its recipe says: {probe.skip}"
    if current().unprivileged:
        return "since no build of an ordinary user is"
    if template.manifest.arch != host_arch():
        return f"since this machine is not {template.manifest.arch}"
    return None


def import_built(packed: Packed, store: Store, templates: Templates) -> Template:
    """Make a template out of what was packed; `tag` gives it its name once it is found good.

    It is unpacked when it is first wanted: most of what is built is not run where it is built.
    """
    digest = Digest(f"sha256:{packed.sha256}")
    if (known := templates.known(digest)) is not None:
        return known
    from builder.formats.tar.unpack import read_manifest, unpack
    from builder.templates.exchange import link

    blob = checked_blob(store, packed.sha256)
    if blob is None:
        raise StageError("the packed template is not in the store", hint="build it again")
    manifest = read_manifest(blob)
    with templates.draft() as draft:
        if link(blob, draft / TARBALL):
            (draft / TREE).write_bytes(canonical(Tag(packed.tree)))
        else:
            unpack(blob, draft / ROOTFS)
        return templates.add(draft, manifest, digest, None)
