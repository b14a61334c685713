"""Small programs, one for each client: they run in the environment of that client, not in ours."""
