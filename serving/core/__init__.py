"""Use cases without a transport: classify, read and explain, admission, batching, the registry of served versions."""
