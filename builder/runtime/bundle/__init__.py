"""What an OCI runtime is given: the root file system, `config.json` and who is who in it."""
