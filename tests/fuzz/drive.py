"""Gives one target inputs that libFuzzer makes up, and keeps one for each way in which it fails.

The last line of a traceback and where it comes from name a failure, and the search goes on. What
takes too long or too much memory ends it, and libFuzzer keeps that input.
"""

import importlib
import sys
import traceback
from pathlib import Path

import atheris

from builder.model.errors import OvenError


def main(name: str, home: Path, limits: list[str]) -> None:
    """Try one target; never comes back."""
    with atheris.instrument_imports(include=["builder"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    refusals = (OvenError, *getattr(target, "REFUSALS", ()))
    corpus, found = home / "corpus", home / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)

    def try_one(data: bytes) -> None:
        try:
            target.play(data)
        except refusals:
            pass
        except Exception as error:  # noqa: BLE001  # each is a finding
            _keep(found, data, error)

    options = ["-max_len=65536", f"-artifact_prefix={found}/", *limits]
    atheris.Setup([sys.argv[0], str(corpus), *options], try_one)
    atheris.Fuzz()


def _keep(found: Path, data: bytes, error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "/builder/" in one.filename] or frames
    path = found / f"{type(error).__name__}-{Path(ours[-1].filename).stem}-{ours[-1].lineno}"
    if not path.exists():
        path.write_bytes(data)
        traceback.print_exception(error)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
