"""What the host grants a process: processors, file descriptors, a terminal."""
