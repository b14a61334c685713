"""Use cases without a transport: classify and explain, admission, batching, the registry of served versions."""
