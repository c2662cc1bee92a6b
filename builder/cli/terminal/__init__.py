"""How commands speak: tables, progress, amounts and errors on a terminal."""
