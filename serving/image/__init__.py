"""Image intake: a picture of any size becomes the 28x28 that MNIST's makers would have made of it."""
