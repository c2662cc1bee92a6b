"""What commands left half done, finished or undone by whoever comes next."""
