"""Random bytes for whatever reads what a stranger wrote: `./check --fuzz [TARGET] [SECONDS]`.

Each module of `targets` has `seeds()`, sound inputs to begin with, and `play(data)`, which gives
bytes to the code that is tried. It may raise an OvenError, or one of the module's `REFUSALS`.
"""
