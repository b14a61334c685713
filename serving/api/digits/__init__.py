"""The contract mnist.v1: Classify, ClassifyStream, Read, Explain and GetModel."""
