"""How commands speak: tables, progress, sizes, durations and errors on a terminal."""
