"""The public contracts (.proto) and the Python code generated from them (`make proto`)."""
