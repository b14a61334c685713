"""Random changes of the training images, stateless functions of a seed: distortion and degradation."""
