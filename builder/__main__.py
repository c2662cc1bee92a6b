"""`python -m builder` is `oven`."""

from builder.cli import main

main()
