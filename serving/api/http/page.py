"""The web page at `/`: routes for its static files, with headers that allow nothing from elsewhere."""

from pathlib import Path

from aiohttp import web

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


def page_routes() -> list[web.RouteDef]:
    """Returns the routes of the page and its files."""
    # Only files found now are served: a name of the URL is looked up, never joined to a path.
    files = {path.name: path for path in FOLDER.iterdir() if path.suffix in TYPES}

    async def send(request: web.Request) -> web.StreamResponse:
        path = files.get(request.match_info.get("name", "index.html"))
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={**HEADERS, "Content-Type": f"{TYPES[path.suffix]}; charset=utf-8"})

    return [web.get("/", send), web.get("/page/{name}", send)]
