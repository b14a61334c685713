"""The command `mnist-digits`: files and folders in, a table or JSON out."""
