"""Recipe files and their locks: found, read, put together and checked."""
