"""Offline half of the project: MNIST in, a checked model version folder out. Never imports `serving`."""

import os

# TensorFlow and Keras read these once, when they are imported, which every module here does after this line.
# What fails comes as an exception. Its log calls it an error, too, when a processor has no AVX-512.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # its kernels round differently: pinned, or a run could not be repeated
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"  # whatever ~/.keras/keras.json says
