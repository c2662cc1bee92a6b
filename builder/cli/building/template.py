"""`oven template`: the templates on this machine."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.terminal.table import columns, table
from builder.host.kernel.namespaces import enter_namespace
from builder.host.places import Places

if TYPE_CHECKING:
    from builder.templates.local import Template, Templates


@click.group()
def template() -> None:
    """List, show, import, export and remove the templates on this machine."""


@template.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the templates; `-` stands for one whose name a newer one has taken."""
    found = _templates().every()
    if as_json:
        click.echo(json.dumps([_row(one) for one in found], indent=2))
        return
    if not found:
        click.echo("no templates yet; `oven build` makes one", err=True)
        return
    rows = [("NAME", "DIGEST", "ARCH", "SUMMARY")]
    rows += [
        (name, _short(one), one.manifest.arch, one.manifest.summary)
        for one in found
        for name in one.names or ("-",)
    ]
    click.echo("\n".join(table(rows)))


@template.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all packages.")
def show(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show one template, by its name or the first digits of its digest."""
    import msgspec

    templates = _templates()
    one = templates.find(name)
    users = templates.users(one.digest)
    if as_json:
        manifest: object = msgspec.to_builtins(one.manifest)
        click.echo(json.dumps({**_row(one), "used-by": users, "manifest": manifest}, indent=2))
        return
    manifest_lines = [
        ("names", ", ".join(one.names) or "-"),
        ("summary", one.manifest.summary),
        ("digest", one.digest),
        ("system", f"{one.manifest.distro} {one.manifest.suite} {one.manifest.arch}"),
        ("packages", str(len(one.manifest.packages))),
        ("ports", ", ".join(f"{port.port}/{port.protocol}" for port in one.manifest.ports) or "-"),
        ("used by", ", ".join(users) or "-"),
        ("made by", f"oven {one.manifest.oven}"),
        ("folder", str(one.folder)),
    ]
    click.echo("\n".join(columns(manifest_lines)))


@template.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The name to give it, instead of its own.")
def import_(file: Path, name: str | None) -> None:
    """Take in a template tarball, and print the name it got."""
    from builder.templates.exchange import import_template

    templates = _templates()
    before = {tag: known.digest for known in templates.every() for tag in known.names}
    one = import_template(file, templates, name=name)
    name = name or one.manifest.name
    if before.get(name, one.digest) != one.digest:
        was = _digits(before[name])
        click.echo(f"`{name}` was {was} before, and is now {_short(one)}", err=True)
    click.echo(name)


@template.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=".",
    metavar="DIR",
    help="The folder to write to.",
)
def export(name: str, output: Path) -> None:
    """Write a template as NAME_ARCH.tar.zst, and print the path."""
    from builder.templates.exchange import export_template

    one = _templates().find(name)
    click.echo(export_template(one, output, jobs=os.cpu_count() or 1))


@template.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Remove templates that no container uses."""
    templates = _templates()
    for name in names:
        templates.remove(name)


def _templates() -> "Templates":
    places = Places.of_user()
    enter_namespace()
    from builder.templates.local import Templates

    return Templates(places.data)


def _row(one: "Template") -> dict[str, object]:
    manifest = one.manifest
    return {
        "names": one.names,
        "digest": one.digest,
        "summary": manifest.summary,
        "distro": manifest.distro,
        "suite": manifest.suite,
        "arch": manifest.arch,
        "folder": str(one.folder),
    }


def _short(one: "Template") -> str:
    return _digits(one.digest)


def _digits(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
