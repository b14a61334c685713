"""The web page at `/` and the description of the API at `/docs`: static files, with headers that allow nothing else."""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from serving.api.http.application import Endpoint, Route, error_response, json_response
from serving.api.http.packing import SHORTEST, packed

FOLDER = Path(__file__).with_name("static")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    # blob: is the picture that the visitor has chosen or drawn.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # revalidated each time; unchanged files are not sent again
}

DOCS_FOLDER = FOLDER / "docs"  # Swagger UI, as its makers publish it
# It sets styles and draws its icons from data URLs.
DOCS_HEADERS = HEADERS | {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


def page_routes() -> list[Route]:
    """Returns the routes of the page and of the description of the API, with their files."""
    page, docs = _files(FOLDER, HEADERS), _files(DOCS_FOLDER, DOCS_HEADERS)
    return [
        Route("GET", "/", _for_people(page)),
        Route("GET", "/page/{name}", page),
        Route("GET", "/docs", docs),
        Route("GET", "/docs/{name}", docs),
    ]


def _files(folder: Path, headers: Mapping[str, str]) -> Endpoint:
    """Makes an endpoint that sends the file `name` of a folder, or its index.html."""
    # Only files found now are served: a name of the URL is looked up, never joined to a path.
    files = {path.name: path for path in folder.iterdir() if path.suffix in TYPES}

    async def send(request: Request) -> Response:
        path = files.get(request.path_params.get("name", "index.html"))
        if path is None:
            return error_response(404, "NOT_FOUND", "there is no such file")
        status = path.stat()
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        with_tag = {**headers, "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=with_tag)
        content = path.read_bytes()
        response = Response(content, headers=with_tag, media_type=TYPES[path.suffix] + "; charset=utf-8")
        return await packed(request, response) if len(content) >= SHORTEST else response

    return send


def _for_people(send: Endpoint) -> Endpoint:
    """Returns the page to browsers, which ask for HTML, and to programs what KServe's client wants to read there."""

    async def answer(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return await send(request)
        return json_response({"status": "alive"}, headers={"Vary": "Accept"})

    return answer
