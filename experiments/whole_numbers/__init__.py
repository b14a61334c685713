"""Whole handwritten numbers: pictures with truth, made of MNIST's rows, and an evaluation of a server with them."""
