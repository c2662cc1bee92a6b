"""Looking at containers: what each is, does, takes and shares."""
