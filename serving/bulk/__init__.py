"""Bulk classification: shards of many digits, each read, classified and written by one task, here or on a cluster."""
