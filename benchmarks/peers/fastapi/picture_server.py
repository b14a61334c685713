"""FastAPI on uvicorn: a picture file in, raw probabilities out. Uvicorn starts two of it (lineup.py)."""

import os

from fastapi import FastAPI, Request, Response

from benchmarks.peers.onnx_session import Session
from benchmarks.peers.pillow_pixels import pixels_of_picture

app = FastAPI()
session = Session(os.environ["GRAPH_FILE"])


@app.post("/read")  # type: ignore[untyped-decorator]  # mypy does not see the peers' environments
async def read(request: Request) -> Response:
    """A file to 1 x 10 float32. Pillow and the model run on the event loop: two workers fill two cores."""
    pixels = pixels_of_picture(await request.body())
    return Response(session.probabilities(pixels).tobytes(), media_type="application/octet-stream")
