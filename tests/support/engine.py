"""gRPC engine of the servers that tests start. `TEST_GRPC_ENGINE=aio pytest …` runs them on the other one."""

import os

ENGINE = os.environ.get("TEST_GRPC_ENGINE", "completion-queue")  # not auto, which may fall back
