"""FastAPI on uvicorn: raw pixels in, raw probabilities out. Uvicorn starts two of it (lineup.py)."""

import os

import numpy as np
from fastapi import FastAPI, Request, Response

from benchmarks.peers.onnx_session import PIXELS, Session

app = FastAPI()
session = Session(os.environ["GRAPH_FILE"])


@app.post("/read")  # type: ignore[untyped-decorator]  # mypy does not see the peers' environments
async def read(request: Request) -> Response:
    """n x 784 bytes to n x 10 float32. The model runs on the event loop, as in the examples."""
    pixels = np.frombuffer(await request.body(), np.uint8).reshape(-1, PIXELS)
    return Response(session.probabilities(pixels).tobytes(), media_type="application/octet-stream")
