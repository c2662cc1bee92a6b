"""What happens when Oven itself is wrong: the traceback goes to a file, one line to the screen."""

import sys
import tempfile
import traceback
from pathlib import Path

EXIT_CODE = 70
"""EX_SOFTWARE of sysexits(3)."""


def report_bug() -> int:
    """Write the current exception to a file and say where; gives the exit code."""
    text = traceback.format_exc()
    with tempfile.NamedTemporaryFile(prefix="oven-bug-", suffix=".txt", delete=False) as file:
        # Words of the command line may be any bytes.
        file.write((" ".join(sys.argv) + "\n\n" + text).encode(errors="surrogateescape"))
    last = text.strip().splitlines()[-1]
    sys.stderr.write(
        f"error: this is a bug in oven: {last}\n"
        f"hint: please report it with the file `{Path(file.name)}`\n"
    )
    return EXIT_CODE
