"""API keys: authentication of callers, their scopes and their rate limits."""
