"""Coverage-guided fuzzing of what takes bytes from outside before a model sees them. README.md says how and why."""
