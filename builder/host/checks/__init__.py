"""What this machine can do, what it lacks, and what weakens a promise."""
