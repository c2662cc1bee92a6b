"""A password's hash and a public key, as people give them."""

HASH = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC"


BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIDHS0V+eR7OyGqhx8dN9sTUs4dw6PgPIx6ewtRl0Jriu"


KEY = f"ssh-ed25519 {BLOB} ann@example"
