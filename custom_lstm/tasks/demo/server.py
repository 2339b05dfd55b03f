"""The page's server, for this machine alone: files, answers and states.

It is reached at 127.0.0.1, by the names 127.0.0.1 and localhost, and answers no page
of another origin: a web page that is open in the same browser can neither send it
anything nor read from it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from custom_lstm.errors import UserError, in_a_line
from custom_lstm.tasks.demo.networks import PAGE, SIDE, Network, advance

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from custom_lstm.tasks.demo.series import Series

LARGEST_BODY = 2**22
"""Bytes of images or of a series that are read at most: 4 MiB."""
LARGEST_MODEL = 2**28
"""Bytes of a model that are read at most: 256 MiB."""
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "script-src 'self' 'wasm-unsafe-eval'; frame-ancestors 'none'; base-uri 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def application(networks: Sequence[Network], series: Series | None = None) -> Starlette:
    """Return the server's application.

    Args:
        networks: what answers when digits are drawn.
        series: the model for series, until another is sent.

    Returns:
        An ASGI application. It answers `GET /session.json`, the page's files, `POST
        /advance`, with the states before as float32, those of one network after those
        of the other, and images as bytes behind them, by rows of float32 as `advance`
        makes them, those of one network after those of the other; `POST /advance/N` for
        network N alone; `POST /model?name=…` with a `.keras` file; and `POST /series`
        with CSV.
    """
    here = _Here(networks, series)
    routes = [
        Route("/session.json", here.session),
        Route("/advance", here.advance, methods=["POST"]),
        Route("/advance/{number:int}", here.advance, methods=["POST"]),
        Route("/model", here.model, methods=["POST"]),
        Route("/series", here.series, methods=["POST"]),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
        Middleware(_SameOrigin),
    ]
    return Starlette(
        routes=routes,
        middleware=guards,
        exception_handlers={UserError: _refuse, Exception: _fail},
    )


async def _refuse(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _fail(_: Request, error: Exception) -> Response:
    """Say what went wrong here; the server's terminal shows where."""
    said = f"the server failed: {in_a_line(error)}"
    return JSONResponse({"error": said}, 500, HEADERS)  # no middleware adds them here


class _SameOrigin:
    """Refuse what pages of other origins send, and add `HEADERS` to answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Request(scope).headers
        origin, own = headers.get("origin"), f"http://{headers['host']}"
        site = headers.get("sec-fetch-site", "none")
        if origin not in (None, own) or site not in ("none", "same-origin"):
            refused = PlainTextResponse("another origin has no access here", 403)
            return await refused(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message["headers"], *pairs]
            await send(message)

        return await self.app(scope, receive, with_headers)


class _Here:
    """The endpoints, and the one model for series that they share."""

    def __init__(self, networks: Sequence[Network], series: Series | None) -> None:
        self._networks, self._series = networks, series

    async def session(self, request: Request) -> Response:
        """Say what runs here."""
        return JSONResponse(
            {
                "server": True,
                "networks": [network.about for network in self._networks],
                "series": self._series and self._series.about,
            }
        )

    async def advance(self, request: Request) -> Response:
        """Read images."""
        chosen = self._networks
        if (number := request.path_params.get("number")) is not None:
            if number >= len(chosen):
                raise HTTPException(404, f"there is no network {number}")
            chosen = chosen[number : number + 1]
        content = await _body(request, LARGEST_BODY)
        widths = [sum(network.about["states"]) for network in chosen]
        cut = 4 * sum(widths)
        if len(content) <= cut or (len(content) - cut) % SIDE**2:
            raise UserError(
                f"{cut} bytes of states and {SIDE**2} for each image must be sent, not "
                f"{len(content)} bytes"
            )
        states = np.split(np.frombuffer(content[:cut], "<f4"), np.cumsum(widths)[:-1])
        images = np.frombuffer(content[cut:], np.uint8).reshape(-1, SIDE**2)
        try:
            made = await asyncio.gather(
                *(
                    run_in_threadpool(advance, network, own, images)
                    for network, own in zip(chosen, states, strict=True)
                )
            )
        except ValueError as error:
            raise UserError(str(error)) from error
        rows = b"".join(part.astype("<f4").tobytes() for part in made)
        return Response(rows, media_type="application/octet-stream")

    async def model(self, request: Request) -> Response:
        """Take a model for series."""
        content = await _body(request, LARGEST_MODEL)
        name = request.query_params.get("name", "the model")[:80]
        from custom_lstm.tasks.demo.series import receive  # Keras: only if asked for

        self._series = await run_in_threadpool(receive, content, name)
        return JSONResponse(self._series.about)

    async def series(self, request: Request) -> Response:
        """Run the model on a series."""
        content = await _body(request, LARGEST_BODY)
        if self._series is None:
            raise UserError("there is no model yet: choose a .keras file first")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError("the series is not text in UTF-8") from error
        return JSONResponse(await run_in_threadpool(self._series.read, text))


async def _body(request: Request, most: int) -> bytes:
    """Return a request's body, unless it is too large."""
    content = bytearray()
    with contextlib.suppress(ValueError):
        if int(request.headers.get("content-length", 0)) > most:
            raise HTTPException(413, f"more than {most} bytes")
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise HTTPException(413, f"more than {most} bytes")
    return bytes(content)
