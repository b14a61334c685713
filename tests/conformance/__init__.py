"""Other people's clients and proxies against our server."""
