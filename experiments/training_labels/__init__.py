"""Labels of MNIST's training rows that networks doubt which never saw those rows or their writers."""
