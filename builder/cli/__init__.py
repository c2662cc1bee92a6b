"""Words and colors: what a person types and reads."""

import gc
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"]:
        # Answered before click is imported, which would triple the time that this takes.
        from builder import __version__

        sys.stdout.write(f"oven {__version__}\n")
        return
    # What imports make stays; looking for garbage in it again and again costs a tenth of a start.
    gc.set_threshold(20_000, 20, 20)
    from builder.cli.app import run

    sys.exit(run(sys.argv[1:]))
