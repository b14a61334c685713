"""What the operating system knows of a server's processes: processor time, memory, and whether memory grows."""
