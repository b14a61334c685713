"""The contract mnist.v1: Classify, ClassifyStream, Explain and GetModel."""
