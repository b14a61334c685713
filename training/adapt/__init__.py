"""Adapting a model version to somebody's own digits: reading them, cross-validation, judgement, populations."""
