"""Preprocessing of pictures: any size and polarity becomes the 28x28 that MNIST's makers would have made of it."""
