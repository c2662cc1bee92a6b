"""A person's day with appliances: instances made, answered, changed, and their secrets."""
