"""The server of `ravine lab`: static files and one WebSocket, on the loopback address only.

A page from elsewhere must not talk to it: the Host header must name the loopback address (against DNS rebinding), and a WebSocket's
Origin must be this very server (against cross-site requests).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import socket
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ravine.lab.session import RequestError, Session

LOOPBACK = "127.0.0.1"
MOST_BYTES = 64 * 1024
FILES = {"/": ("index.html", "text/html"), "/lab.js": ("lab.js", "text/javascript"), "/lab.css": ("lab.css", "text/css")}
# Nothing is loaded from anywhere else, and no other page may show this one in a frame.
POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def application(warm: bool = False) -> Starlette:
    """The web application. `warm` compiles in the background what is likely to be asked for next."""
    # JAX in one thread: requests of several pages take turns, and the event loop stays free.
    worker = concurrent.futures.ThreadPoolExecutor(1, "lab")

    async def talk(socket_: WebSocket) -> None:
        if not _is_own_page(socket_):
            await socket_.close(code=1008)
            return
        await socket_.accept()
        await _Conversation(socket_, worker, warm).run()

    routes: list[Any] = [Route(path, _file) for path in FILES]
    routes += [Route("/api/meta", _meta), WebSocketRoute("/ws", talk)]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])])


def _is_own_page(socket_: WebSocket) -> bool:
    origin = urlsplit(socket_.headers.get("origin", ""))
    return origin.scheme == "http" and origin.netloc == socket_.headers.get("host")


@cache
def static(name: str) -> bytes:
    """A file of the page."""
    return resources.files("ravine.lab").joinpath("static", name).read_bytes()


def _file(request: Request) -> Response:
    name, kind = FILES[request.url.path]
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(static(name), media_type=kind, headers=headers)


def _meta(request: Request) -> Response:
    from ravine.lab.meta import meta

    return JSONResponse(meta())


class _Conversation:
    """One page's WebSocket. Of each kind of request only the newest waits; older ones are dropped unanswered."""

    def __init__(self, socket_: WebSocket, worker: concurrent.futures.Executor, warm: bool):
        self.socket = socket_
        self.worker = worker
        self.waiting: dict[str, Any] = {}
        self.arrived = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.now: Any = {}
        self.session = Session(self._tell, warm)

    async def run(self) -> None:
        """Reads and answers until the page is closed."""
        answering = asyncio.create_task(self._answer_all())
        try:
            while True:
                self._take(await self.socket.receive_text())
                if answering.done():
                    break
        except (WebSocketDisconnect, KeyError):  # closed, or a binary message, which a page of ours never sends
            pass
        finally:
            answering.cancel()

    def _take(self, text: str) -> None:
        try:
            request = json.loads(text) if len(text) <= MOST_BYTES else None
        except (ValueError, RecursionError):
            request = None
        op = request.get("op") if isinstance(request, dict) else None
        self.waiting[op if isinstance(op, str) and len(op) < 20 and len(self.waiting) < 20 else ""] = request
        self.arrived.set()

    async def _answer_all(self) -> None:
        while True:
            await self.arrived.wait()
            while self.waiting:
                self.now = self.waiting.pop(next(iter(self.waiting)))
                try:
                    await self.socket.send_bytes(await self.loop.run_in_executor(self.worker, self.session.answer, self.now))
                except RequestError as error:
                    await self._say(error=str(error), column=error.column)
                except Exception as error:  # a page must not hang because one request failed
                    logging.getLogger("ravine").exception("a request of the page failed")
                    await self._say(error=f"{type(error).__name__}: {str(error)[:300]}")
            self.arrived.clear()

    async def _say(self, **what: Any) -> None:
        now = self.now if isinstance(self.now, dict) else {}
        op, seq = now.get("op"), now.get("seq")
        told = {"op": op if isinstance(op, str) else "", "seq": seq if isinstance(seq, int) else 0, **what}
        await self.socket.send_text(json.dumps(told))

    def _tell(self, what: str) -> None:
        """From the worker's thread: something takes longer."""
        asyncio.run_coroutine_threadsafe(self._say(busy=what), self.loop)


def listen(port: int = 0) -> socket.socket:
    """A socket on the loopback address; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise OSError(f"port {port} of {LOOPBACK} cannot be used ({error.strerror}); give another --port, or none") from None
    bound.listen()
    return bound


def prepared(warm: bool = True) -> Any:
    """The uvicorn server, ready to run."""
    import uvicorn

    config = uvicorn.Config(
        application(warm),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,  # on one's own computer to press an answer together takes longer than to send it
        timeout_graceful_shutdown=1,
        server_header=False,
        lifespan="off",
    )
    return uvicorn.Server(config)


def serve(bound: socket.socket) -> None:
    """Serves until Ctrl-C."""
    prepared().run(sockets=[bound])
