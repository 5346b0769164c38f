#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Failures, time limits, cancellation, slow clients, TLS and proxies: test_openai_faults.py DRIVE"""

import asyncio
import email.utils
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

import case
from case import AT_ONCE, Case, hello, stall
from fault_server import FaultServer, answer, delta


class Failures(Case):
    def test_wrong_key(self):
        error = {
            "message": "Incorrect API key provided: {sk-***}.",
            "type": "invalid_request_error",
            "code": "invalid_api_key",
        }

        async def scenario(request):
            await request.whole({"error": error}, status=401)

        for method in ("unary", "stream"):
            result = self.run_call(scenario, method=method)
            self.assert_failed(
                result, 401, error["message"], detail="HTTP 401 invalid_request_error/invalid_api_key"
            )
            self.assertEqual(result["message"], error["message"])
        self.assertEqual(len(self.server.requests), 2)

    def test_key_is_not_repeated(self):
        async def scenario(request):
            key = request.headers["authorization"].split()[1]
            await request.whole({"error": f"bad key {key}, {key}!"}, status=401)

        result = self.run_call(scenario, options={"api_key": "sk-12345678"})
        self.assertEqual(result["message"], "bad key ***********, ***********!")

    def test_busy_then_fine(self):
        async def scenario(request):
            if len(self.server.requests) < 3:
                await request.whole({"error": {"message": "slow down"}}, status=429)
            else:
                await hello(request)

        self.assert_ok(self.run_call(scenario), "Hello", " world")
        self.assertEqual(len(self.server.requests), 3)
        self.assertEqual(self.server.connections, 1)

    def test_retry_after(self):
        times = {"seconds": [], "date": []}

        async def scenario(request):
            model = request.json["model"]
            times[model].append(request.time)
            if len(times[model]) > 1:
                return await hello(request)
            date = email.utils.formatdate(time.time() + 2, usegmt=True)
            await request.whole({}, status=503, Retry_After=date if model == "date" else "1")

        self.server.scenarios.update(seconds=scenario, date=scenario)
        for result in self.run_calls(*({"method": "stream", "model": model} for model in times)):
            self.assert_ok(result, "Hello", " world")
        for first, second in times.values():
            self.assertGreater(second - first, 0.9)

    def test_retry_after_too_long(self):
        async def scenario(request):
            await request.whole({"error": "later"}, status=429, Retry_After="3600")

        for how in ({"options": {"timeout": ("5s",)}}, {"deadline_ms": 5000}):
            result = self.run_call(scenario, **how)
            self.assert_failed(result, 5004, "later")
            self.assertLess(result["ms"], 2000)
        self.assertEqual(len(self.server.requests), 2)

    def test_retries_exhausted(self):
        async def scenario(request):
            await request.whole({"error": {"message": "oops", "type": "server_error"}}, status=500)

        result = self.run_call(scenario, method="unary", options={"retries": 3})
        self.assert_failed(result, 5001, "oops", detail="HTTP 500 server_error")
        self.assertEqual(len(self.server.requests), 4)

    def test_no_retries(self):
        async def scenario(request):
            await request.whole({}, status=500)

        self.run_call(scenario, options={"retries": 0})
        self.assertEqual(len(self.server.requests), 1)

    def test_connection_dies_before_the_answer(self):
        async def scenario(request):
            if len(self.server.requests) > 1:
                return await hello(request)
            request.cut()
            return False

        self.assert_ok(self.run_call(scenario), "Hello", " world")

    def test_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        (result,) = self.run_calls({"method": "stream"}, options={"base_url": f"http://127.0.0.1:{port}"})
        self.assert_failed(result, 5003, "cannot be reached")

    def test_no_such_name(self):
        (result,) = self.run_calls({"method": "stream"}, options={"base_url": "http://llm.invalid/v1"})
        self.assert_failed(result, 7003, "cannot be resolved")

    def test_redirect(self):
        async def scenario(request):
            await request.whole({}, status=307, Location="http://elsewhere.invalid/")

        result = self.run_call(scenario)
        self.assert_failed(result, 5001, "http://elsewhere.invalid/")

    def test_hostile_redirect(self):
        async def scenario(request):
            await request.raw(
                b"HTTP/1.1 302 X\r\nLocation: \xff\xfe://\x01\r\nContent-Length: 0\r\n\r\n"
            )

        self.assert_failed(self.run_call(scenario), 5001, "redirects with HTTP 302")

    def test_empty_answer(self):
        for status in (200, 204):
            for method in ("unary", "stream"):

                async def scenario(request):
                    await request.head(status, kind=None, length=0 if status == 200 else False)

                self.assert_failed(self.run_call(scenario, method=method), 5001, "empty")

    def test_not_http(self):
        async def scenario(request):
            await request.raw(b"SSH-2.0-OpenSSH_9\r\n")
            return False

        self.assert_failed(self.run_call(scenario), 5001, "does not speak HTTP")

    def test_bad_answer(self):
        async def scenario(request):
            await request.whole(b"<html>")

        self.assert_failed(self.run_call(scenario, method="unary"), 5001, "JSON")

    def test_large_answer(self):
        async def scenario(request):
            await request.whole(answer("x" * 100000))

        result = self.run_call(scenario, method="unary", options={"max_reply": ("64KiB",)})
        self.assert_failed(result, 5001, "larger than 65536 bytes")


class Timeouts(Case):
    def check(self, result, code, message, *texts):
        self.assert_failed(result, code, message, *texts)
        self.assertGreater(result["ms"], 180)
        self.assertLess(result["ms"], 5000)

    def test_first_token(self):
        async def scenario(request):
            await request.head()
            for _ in range(100):
                await request.chunk(b": wait\n\n")
                await asyncio.sleep(0.02)
            await request.done()

        result = self.run_call(scenario, options={"first_token_timeout": ("200ms",)})
        self.check(result, 4004, "did not start its answer within 200 ms")

    def test_slow_first_token(self):
        async def scenario(request):
            await asyncio.sleep(0.3)
            await hello(request)

        result = self.run_call(scenario, options={"first_token_timeout": ("5s",)})
        self.assert_ok(result, "Hello", " world")
        self.assertGreater(result["first_ms"], 250)

    def test_silence(self):
        async def scenario(request):
            await request.head()
            for _ in range(5):
                await request.say("a")
                await asyncio.sleep(0.1)
            await request.wait_closed()
            return False

        result = self.run_call(scenario, options={"idle_timeout": ("200ms",)})
        self.check(result, 4004, "sent nothing for 200 ms", *"aaaaa")
        self.assertGreater(result["ms"], 500)

    def test_whole(self):
        async def scenario(request):
            await request.head()
            for _ in range(100):
                await request.say("a")
                await asyncio.sleep(0.02)

        result = self.run_call(scenario, options={"timeout": ("200ms",)})
        self.check(result, 4004, "within 200 ms", *["a"] * len(result["replies"]))
        result = self.run_call(stall, method="unary", options={"timeout": ("200ms",)})
        self.check(result, 4004, "within 200 ms")

    def test_connect(self):
        """Nobody answers the TLS handshake."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            (result,) = self.run_calls(
                {"method": "stream"},
                options={
                    "base_url": f"https://127.0.0.1:{silent.getsockname()[1]}",
                    "connect_timeout": ("100ms",),
                    "retries": 1,
                },
            )
        self.check(result, 5002, "no connection to the API within 100 ms")

    def test_no_free_connection(self):
        self.server.scenarios["m"] = stall
        results = self.run_calls(
            {"method": "stream", "model": "m", "repeat": 2},
            options={
                "max_connections": 1,
                "connect_timeout": ("200ms",),
                "timeout": ("3s",),
                "retries": 0,
            },
        )
        self.check(results[1], 5002, "no connection to the API within 200 ms")


class Cancelling(Case):
    def cancelled(self, result, *texts):
        self.assertEqual((result["status"], result["replies"]), (1, [[t, False] for t in texts]))
        self.assertLess(result["ms"], AT_ONCE * 1000)

    def test_in_the_stream(self):
        async def scenario(request):
            await request.head()
            await request.say("a")
            request.sent = time.monotonic()
            await request.wait_closed()
            return False

        result = self.run_call(scenario, cancel_replies=1)
        self.cancelled(result, "a")
        (request,) = self.server.requests
        self.wait_until(lambda: request.closed)
        self.assertLess(request.closed - request.sent, AT_ONCE)

    def test_before_the_answer(self):
        for method in ("unary", "stream"):
            self.cancelled(self.run_call(stall, method=method, cancel_ms=100))
            self.wait_until(lambda: self.server.requests[-1].closed)

    def test_many(self):
        """Each while the others go on."""

        async def drip(request):
            await request.head()
            while True:
                await request.say("a")
                await asyncio.sleep(0.1)

        self.server.scenarios["m"] = drip
        results = self.run_calls(
            {"method": "stream", "model": "m", "repeat": 100, "cancel_replies": 1}
        )
        self.assertEqual([result["status"] for result in results], [1] * 100)
        self.wait_until(lambda: all(request.closed for request in self.server.requests))

    def test_at_once(self):
        self.cancelled(self.run_call(stall, cancel_ms=0))

    def test_between_attempts(self):
        async def scenario(request):
            await request.whole({}, status=503)

        result = self.run_call(
            scenario, cancel_ms=100, options={"retry_min": ("30s",), "retry_max": ("60s",)}
        )
        self.cancelled(result)

    def test_in_name_lookup(self):
        """A lookup that hangs holds up nobody: neither its own call nor others."""
        url = f"http://slow.test:{self.server.port}/v1"
        result = self.run_call(hello, cancel_ms=100, options={"base_url": url})
        self.cancelled(result)

    def test_while_paused(self):
        """The connection is closed at once, and not by the end of the process."""

        async def scenario(request):
            await request.head()
            await request.chunk(delta("a") * 50)
            await request.wait_closed()
            return False

        async def after(request):
            while not self.server.requests[0].closed:
                await asyncio.sleep(0.005)
            await hello(request)

        self.server.scenarios.update(paused=scenario, after=after)
        paused = {"window": 2, "cancel_replies": 2, "cancel_ms": 50, "wait": True}
        first, second = self.run_calls(
            {"method": "stream", "model": "paused", **paused},
            {"method": "stream", "model": "after"},
            options={"timeout": ("5s",)},
        )
        self.cancelled(first, "a", "a")
        self.assert_ok(second, "Hello", " world")


def memory_kb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Pressure(Case):
    n = 300

    async def count(self, request):
        await request.head()
        for i in range(self.n):
            await request.say(f"{i} ")
        await request.done()

    def check_order(self, **how):
        result = self.run_call(self.count, window=4, take_ms=1, **how)
        self.assert_ok(result, *[f"{i} " for i in range(self.n)])

    def test_slow_reader(self):
        """Nothing is lost or moved, though many events come in one piece."""
        self.check_order()

    def test_slow_reader_of_a_finished_answer(self):
        """All of it, and its end, is there before the reader takes the second message."""

        async def scenario(request):
            await request.whole(b"".join(delta(c) for c in "abcdefgh") + b"data: [DONE]\n\n",
                                kind="text/event-stream")

        for last in (True, False):
            result = self.run_call(scenario, window=1, take_ms=20)
            self.assert_ok(result, *"abcdefgh")

    def test_reader_that_rests(self):
        """The server is held back, and neither memory nor time is spent."""
        sent = 0
        text = "x" * 1000

        async def scenario(request):
            nonlocal sent
            request.writer.transport.set_write_buffer_limits(0)
            own = request.writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            await request.head()
            while True:
                await request.say(text)
                sent += len(text)

        self.server.scenarios["m"] = scenario
        process = self.start({"method": "stream", "model": "m", "window": 2, "take_ms": 3000},
                             options={"timeout": ("2500ms",)})
        self.wait_until(lambda: sent > 0)
        time.sleep(0.5)
        before, memory, cpu = sent, memory_kb(process.pid), cpu_seconds(process.pid)
        time.sleep(1)
        self.assertLess(before, 1000000)
        self.assertEqual(sent, before)
        self.assertLess(memory_kb(process.pid) - memory, 512)
        self.assertLess(cpu_seconds(process.pid) - cpu, 0.2)
        (result,) = self.finish(process)
        self.assertEqual(result["code"], 4004)

    def test_server_gone_while_paused(self):
        """A peer that hangs up on a paused stream does not keep the loop busy."""

        async def scenario(request):
            await request.head()
            for _ in range(20):
                await request.say("a")
            request.cut()
            return False

        self.server.scenarios["m"] = scenario
        process = self.start({"method": "stream", "model": "m", "window": 1, "take_ms": 2000},
                             options={"timeout": ("1500ms",)})
        time.sleep(0.5)
        cpu = cpu_seconds(process.pid)
        time.sleep(0.7)
        self.assertLess(cpu_seconds(process.pid) - cpu, 0.2)
        self.finish(process)


class Tls(Case):
    def setUp(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is missing")
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.certificate = os.path.join(self.folder.name, "cert.pem")
        key = os.path.join(self.folder.name, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", self.certificate, "-days", "2",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.openai.com"],
            check=True, capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server = FaultServer(tls=context)
        self.addCleanup(self.server.close)

    def test_trusted(self):
        result = self.run_call(hello, options={"ca_file": self.certificate})
        self.assert_ok(result, "Hello", " world")

    def test_untrusted(self):
        result = self.run_call(hello)
        self.assert_failed(result, 7004, "certificate of the API is not trusted")
        self.assertEqual(self.server.requests, [])

    def test_slow_reader(self):
        async def scenario(request):
            await request.head()
            for i in range(300):
                await request.say(f"{i} " + "x" * 500)
            await request.done()

        result = self.run_call(
            scenario, window=4, take_ms=1, options={"ca_file": self.certificate}
        )
        self.assert_ok(result, *[f"{i} " + "x" * 500 for i in range(300)])

    def test_default_key_and_tunnel(self):
        """OpenAI's own address, which a proxy leads to this server."""

        async def tunnel(request):
            await request.raw(b"HTTP/1.1 200 OK\r\n\r\n")
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)

            async def pipe(source, sink):
                while data := await source.read(65536):
                    sink.write(data)
                sink.close()

            await asyncio.gather(pipe(request.reader, writer), pipe(reader, request.writer))
            return False

        proxy = FaultServer()
        self.addCleanup(proxy.close)
        proxy.scenarios[""] = tunnel
        result = self.run_call(
            hello,
            options={"base_url": None, "ca_file": self.certificate},
            env={"OPENAI_API_KEY": "sk-env", "https_proxy": proxy.url[:-3]},
        )
        self.assert_ok(result, "Hello", " world")
        self.assertEqual(proxy.requests[0].line, "CONNECT api.openai.com:443 HTTP/1.1")
        self.assertNotIn("authorization", proxy.requests[0].headers)
        (request,) = self.server.requests
        self.assertEqual(request.line, "POST /v1/chat/completions HTTP/1.1")
        self.assertEqual(request.headers["authorization"], "Bearer sk-env")


class Proxies(Case):
    def test_option(self):
        result = self.run_call(
            hello,
            options={"base_url": "http://api.invalid/v1", "proxy": self.server.url[:-3]},
            env={"no_proxy": "*"},
        )
        self.assert_ok(result, "Hello", " world")
        (request,) = self.server.requests
        self.assertEqual(request.line, "POST http://api.invalid/v1/chat/completions HTTP/1.1")

    def test_environment(self):
        env = {"http_proxy": self.server.url[:-3]}
        base_url = {"base_url": "http://api.invalid/v1"}
        self.assert_ok(self.run_call(hello, options=base_url, env=env), "Hello", " world")
        result = self.run_call(hello, options={**base_url, "proxy": ""}, env=env)
        self.assert_failed(result, 7003, "cannot be resolved")

    def test_tunnel_refused(self):
        """https through a proxy that says no."""
        self.server.scenarios[""] = lambda request: request.whole({}, status=407)
        (result,) = self.run_calls(
            {"method": "stream"},
            options={"base_url": "https://api.invalid/v1", "proxy": self.server.url[:-3]},
        )
        self.assert_failed(result, 7001, "407")


if __name__ == "__main__":
    case.main()
