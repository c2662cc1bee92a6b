"""What is tried with random bytes, a module for each."""
