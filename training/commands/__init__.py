"""The work behind each command, imported only when its command is given."""
