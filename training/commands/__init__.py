"""One module for each command, with one function `execute`; imported only when its command is given."""
