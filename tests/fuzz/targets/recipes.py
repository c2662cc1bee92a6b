"""Recipes, as an author who means no good writes them."""

from builder.model.settings import Settings
from builder.model.toml.decode import decode_source
from builder.model.toml.source import source_of_bytes
from builder.recipes.load import load_file
from tests.fuzz.scratch import scratch
from tests.support.oven import CHECKOUT


def seeds() -> list[bytes]:
    """Give the recipes that come with Oven."""
    paths = [*CHECKOUT.glob("recipes/*.toml"), *CHECKOUT.glob("appliances/*/appliance.toml")]
    return [path.read_bytes() for path in sorted(paths)]


def play(data: bytes) -> None:
    """Read a recipe that is alone in its project."""
    with scratch() as folder:
        path = folder / "recipes/x.toml"
        path.parent.mkdir()
        path.write_bytes(data)
        load_file(path)
        decode_source(source_of_bytes(data, path), Settings)
