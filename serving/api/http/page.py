"""The web page at `/`: routes for its static files, with headers that allow nothing from elsewhere."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from serving.api.http.application import Endpoint, Route, error_response, json_response

FOLDER = Path(__file__).with_name("static")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    # blob: is the picture that the visitor has chosen or drawn.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # revalidated each time; unchanged files are not sent again
}


def page_routes() -> list[Route]:
    """Returns the routes of the page and its files."""
    # Only files found now are served: a name of the URL is looked up, never joined to a path.
    files = {path.name: path for path in FOLDER.iterdir() if path.suffix in TYPES}

    async def send(request: Request) -> Response:
        path = files.get(request.path_params.get("name", "index.html"))
        if path is None:
            return error_response(404, "NOT_FOUND", "the page has no such file")
        status = path.stat()
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = HEADERS | {"ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(path.read_bytes(), headers=headers, media_type=TYPES[path.suffix] + "; charset=utf-8")

    return [Route("GET", "/", _for_people(send)), Route("GET", "/page/{name}", send)]


def _for_people(send: Endpoint) -> Endpoint:
    """Returns the page to browsers, which ask for HTML, and to programs what KServe's client wants to read there."""

    async def answer(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return await send(request)
        return json_response({"status": "alive"}, headers={"Vary": "Accept"})

    return answer
