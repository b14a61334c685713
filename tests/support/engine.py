"""gRPC engine of every server that a test starts. `MNIST_GRPC_ENGINE=aio pytest …` runs them on the other one."""

import os

VARIABLE = "MNIST_GRPC_ENGINE"
ENGINE = os.environ.get(VARIABLE, "completion-queue")  # not auto, which may fall back in silence
os.environ[VARIABLE] = ENGINE  # for servers in processes of their own
