# SPDX-License-Identifier: MIT
"""An HTTP server that misbehaves as told: a coroutine per model name answers its requests."""

import asyncio
import json
import socket
import threading
import time


class Request:
    def __init__(self, server, reader, writer, head, body, connection):
        lines = head.decode("latin-1").split("\r\n")
        self.server, self.reader, self.writer = server, reader, writer
        self.line = lines[0]
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name:
                self.headers[name.lower()] = value.strip()
        self.json = json.loads(body) if body else {}
        self.connection = connection
        self.time = time.monotonic()
        self.closed = None  # when the client was seen to have closed the connection

    async def head(self, status=200, kind="text/event-stream", length=None, **headers):
        """Without a length the body is chunked; with length=False it ends with the connection."""
        lines = [f"HTTP/1.1 {status} X"]
        if kind:
            lines.append(f"Content-Type: {kind}")
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length is not False:
            lines.append(f"Content-Length: {length}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def raw(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data):
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self):
        await self.raw(b"0\r\n\r\n")

    async def whole(self, answer, status=200, kind="application/json", **headers):
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        await self.head(status, kind, len(data), **headers)
        await self.raw(data)

    async def say(self, text, **more):
        await self.chunk(delta(text, **more))

    async def done(self):
        await self.chunk(b"data: [DONE]\n\n")
        await self.end()

    async def wait_closed(self):
        """Until the client closes the connection."""
        await self.reader.read(1)
        self.closed = time.monotonic()

    def cut(self):
        """Closes with a reset."""
        self.writer.transport.abort()


def delta(text, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"object": "chat.completion.chunk", "model": "m-1", "choices": [choice], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def answer(text, **more):
    return {
        "object": "chat.completion",
        "model": "m-1",
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        **more,
    }


class FaultServer:
    """Runs on a thread of its own. `requests` has all that came; `scenarios` says what they get."""

    def __init__(self, tls=None):
        self.scenarios = {}
        self.requests = []
        self.connections = 0
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(tls, ready), daemon=True)
        self.thread.start()
        ready.wait()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _run(self, tls, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda loop, context: None)
        server = self.loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self.listener, ssl=tls, limit=1 << 24)
        )
        ready.set()
        self.loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        connection = self.connections
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._answer(reader, writer, connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader, writer, connection):
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = await reader.readexactly(int(line.partition(b":")[2]))
        request = Request(self, reader, writer, head, body, connection)
        self.requests.append(request)
        scenario = self.scenarios[request.json.get("model", "")]
        try:
            return await scenario(request) is not False
        except ConnectionError:  # at a write or a read, whichever comes first
            request.closed = time.monotonic()
            return False
