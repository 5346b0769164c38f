#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The brick against a server that misbehaves: test_openai.py DRIVE"""

import asyncio
import email.utils
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from fault_server import FaultServer, answer, delta

DRIVE = None
SANITIZED = False
FINAL = ["", True]
AT_ONCE = 0.9  # seconds on a loaded machine: any wait that could come before is a second or more
ENVIRONMENT = ["OPENAI_API_KEY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"]


def options_text(options):
    """A YAML flow map, as the driver reads it."""
    parts = []
    for name, value in options.items():
        if isinstance(value, str):
            value = f'"{value}"'
        elif isinstance(value, list):
            value = "[" + ", ".join(f'"{item}"' for item in value) + "]"
        elif isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, tuple):  # a bare scalar: ("100ms",)
            value = value[0]
        parts.append(f"{name}: {value}")
    return "{ " + ", ".join(parts) + " }"


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.server = FaultServer()
        self.addCleanup(self.server.close)

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items() if k.lower() not in map(str.lower, ENVIRONMENT)}
        return {**env, **more}

    def start(self, *calls, options=None, env=None):
        all_options = {
            "base_url": self.server.url,
            "model": "default",
            "retry_min": ("10ms",),
            "retry_max": ("20ms",),
            **(options or {}),
        }
        all_options = {k: v for k, v in all_options.items() if v is not None}
        process = subprocess.Popen(
            [DRIVE, options_text(all_options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**(env or {})),
        )
        try:
            process.stdin.write("".join(json.dumps(call) + "\n" for call in calls))
            process.stdin.close()
        except BrokenPipeError:
            pass  # it refuses its options
        process.stdin = None
        return process

    def finish(self, process, status=0):
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, err)
        self.said = err
        return [json.loads(line) for line in out.splitlines()]

    def run_calls(self, *calls, **how):
        return self.finish(self.start(*calls, **how))

    def run_call(self, scenario, method="stream", options=None, env=None, **call):
        """One call, answered by the scenario."""
        self.server.scenarios[call.setdefault("model", "m")] = scenario
        return self.run_calls({"method": method, **call}, options=options, env=env)[0]

    def assert_ok(self, result, *texts):
        self.assertEqual((result["code"], result["status"]), (200, 0), result)
        self.assertEqual(result["replies"], [[text, False] for text in texts] + [FINAL])

    def assert_failed(self, result, code, message, *texts, detail=None):
        self.assertEqual((result["code"], result["status"]), (code, 0), result)
        self.assertIn(message, result["message"])
        self.assertEqual(result["replies"], [[text, False] for text in texts])
        if detail is not None:
            self.assertEqual(result["detail"], detail)

    def wait_until(self, condition, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)


async def hello(request):
    await request.head()
    await request.say("Hello")
    await request.say(" world")
    await request.done()


async def stall(request):
    await request.wait_closed()
    return False


class Mapping(Case):
    def test_unary(self):
        async def scenario(request):
            await request.whole(answer("Hi {there}"))

        result = self.run_call(
            scenario,
            method="unary",
            model="m",
            prompt="p",
            context=[["", "c1"], ["assistant", "c2"]],
            temperature=0.7,
            max_tokens=9,
            request_id="r-1",
            metadata={"traceparent": "00-ab-cd-01", "tracestate": "a=1, b=2", "other": "x"},
            options={"api_key": "sk-secret\n", "organization": "org", "project": "pro"},
        )
        self.assertEqual(result["code"], 200, result)
        self.assertEqual(result["replies"], [["Hi {there}", True]])
        self.assertEqual(
            sorted(result["trailers"].splitlines()),
            [
                "x-finish-reason=stop",
                "x-model=m-1",
                "x-usage-completion-tokens=7",
                "x-usage-prompt-tokens=5",
                "x-usage-total-tokens=12",
            ],
        )
        (request,) = self.server.requests
        self.assertEqual(request.line, "POST /v1/chat/completions HTTP/1.1")
        self.assertEqual(
            request.json,
            {
                "model": "m",
                "messages": [
                    {"role": "user", "content": "c1"},
                    {"role": "assistant", "content": "c2"},
                    {"role": "user", "content": "p"},
                ],
                "temperature": 0.7,
                "max_tokens": 9,
                "stream": False,
            },
        )
        for name, value in {
            "authorization": "Bearer sk-secret",
            "content-type": "application/json",
            "openai-organization": "org",
            "openai-project": "pro",
            "traceparent": "00-ab-cd-01",
            "tracestate": "a=1, b=2",
            "x-request-id": "r-1",
        }.items():
            self.assertEqual(request.headers.get(name), value)
        self.assertNotIn("other", request.headers)
        self.assertNotIn("expect", request.headers)

    def test_stream(self):
        async def scenario(request):
            await request.head()
            await request.say("")
            await request.say(None)
            await request.say("Hello")
            await request.say(" world")
            last = {"choices": [{"delta": {}, "finish_reason": "length"}]}
            await request.chunk(b"data: %s\n\n" % json.dumps(last).encode())
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            await request.chunk(
                b"data: %s\n\n" % json.dumps({"choices": [], "usage": usage}).encode()
            )
            await request.done()

        result = self.run_call(scenario, prompt="p")
        self.assert_ok(result, "Hello", " world")
        self.assertEqual(
            result["trailers"],
            "x-model=m-1\nx-finish-reason=length\nx-usage-prompt-tokens=1\n"
            "x-usage-completion-tokens=2\nx-usage-total-tokens=3\n",
        )
        (request,) = self.server.requests
        self.assertTrue(request.json["stream"])
        self.assertEqual(request.json["stream_options"], {"include_usage": True})
        self.assertNotIn("temperature", request.json)
        self.assertNotIn("max_tokens", request.json)
        self.assertNotIn("authorization", request.headers)

    def test_options_of_the_request(self):
        self.server.scenarios["default"] = hello
        result = self.run_call(
            hello,
            model="",
            options={
                "default_prompt": "hello?",
                "system_prompt": "be kind",
                "temperature": (0.25,),
                "include_usage": False,
                "base_url": self.server.url + "/?api-version=1",
            },
        )
        self.assert_ok(result, "Hello", " world")
        (request,) = self.server.requests
        self.assertEqual(request.line, "POST /v1/chat/completions?api-version=1 HTTP/1.1")
        self.assertEqual(
            request.json,
            {
                "model": "default",
                "messages": [
                    {"role": "system", "content": "be kind"},
                    {"role": "user", "content": "hello?"},
                ],
                "temperature": 0.25,
                "stream": True,
            },
        )

    def test_long_prompt(self):
        result = self.run_call(hello, prompt='é"\n' * 400000)
        self.assert_ok(result, "Hello", " world")
        self.assertEqual(self.server.requests[0].json["messages"][0]["content"], 'é"\n' * 400000)

    def test_hostile_ids(self):
        for hostile in ("a\r\nX-Evil: 1", "é", "x" * 600, "a\tb"):
            self.run_call(hello, request_id=hostile)
        for request in self.server.requests:
            self.assertNotIn("x-request-id", request.headers)
            self.assertNotIn("x-evil", request.headers)

    def test_service_info(self):
        (result,) = self.run_calls({"method": "info"}, options={"models": ["a", "default", "b"]})
        self.assertEqual(result["replies"], [["openai", "1.0", ["default", "a", "b"]]])
        self.assertEqual(result["code"], 200)

    def test_key_from_environment(self):
        """It is for OpenAI's own API, and no other server is shown it."""
        env = {"OPENAI_API_KEY": "sk-env"}
        self.run_call(hello, env=env)
        self.assertNotIn("authorization", self.server.requests[0].headers)

    def test_bad_options(self):
        for options, blame in [
            ({"base_url": "localhost:1"}, "not a URL"),
            ({"base_url": "ftp://x/"}, "https:// or http://"),
            ({"base_url": "http://"}, "not a URL"),
            ({"base_url": "http://a b/"}, "not a URL"),
            ({"base_url": "http://u:p@x/"}, "api_key"),
            ({"base_url": "http://x/#a"}, "not contain #"),
            ({"base_url": "http://x/" + "a" * 3000}, "too long"),
            ({"api_key": "a\nb"}, "printable"),
            ({"organization": "a\nb"}, "printable"),
            ({"model": ""}, "name of a model"),
            ({"ca_file": "/nonexistent"}, "No such file"),
            ({"retry_min": ("1s",), "retry_max": ("1ms",)}, "retry_max"),
            ({"models": [], "proxy": "::::"}, "proxy"),
        ]:
            with self.subTest(options=options):
                self.finish(self.start(options=options), status=78)
                self.assertIn(blame, self.said)

    def test_clear_text_warning(self):
        for url, warned in [
            ("http://llm.invalid/v1", True),
            ("https://llm.invalid/v1", False),
            ("http://localhost:1/v1", False),
            ("http://[::1]:1/v1", False),
        ]:
            self.finish(self.start(options={"base_url": url, "api_key": "sk-1"}))
            self.assertEqual("unencrypted" in self.said, warned, url)
            self.assertNotIn("sk-1", self.said)


class Streams(Case):
    def stream_bytes(self, data, **how):
        async def scenario(request):
            await request.head()
            await request.chunk(data)
            await request.end()

        return self.run_call(scenario, **how)

    def test_utf8_in_pieces(self):
        text = "é你好😀" * 3

        async def scenario(request):
            await request.head()
            for byte in json.dumps(
                {"choices": [{"delta": {"content": text}}]}, ensure_ascii=False
            ).join(["data: ", "\r\n\r\n"]).encode():
                await request.chunk(bytes([byte]))
                await asyncio.sleep(0.0005)
            await request.done()

        self.assert_ok(self.run_call(scenario), text)

    def test_surrogates_in_two_chunks(self):
        result = self.stream_bytes(
            b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n'
            b'data: {"choices":[{"delta":{"content":"\\ude00b"}}]}\n\ndata: [DONE]\n\n'
        )
        self.assert_ok(result, "a", "😀b")

    def test_line_ends_and_comments(self):
        for end in (b"\n", b"\r\n", b"\r"):
            data = delta("a") + b": still there\n\n" + delta("b") + b"data: [DONE]\n\n"
            self.assert_ok(self.stream_bytes(data.replace(b"\n", end)), "a", "b")

    def test_no_done(self):
        self.assert_ok(self.stream_bytes(delta("a")), "a")
        self.assert_ok(self.stream_bytes(delta("a").rstrip()), "a")

    def test_empty_stream(self):
        self.assert_failed(self.stream_bytes(b": nothing\n\n"), 5001, "empty")
        self.assert_ok(self.stream_bytes(b"data: [DONE]\n\n"))

    def test_bad_json(self):
        self.assert_failed(self.stream_bytes(delta("a") + b"data: {oops\n\n"), 5001, "JSON", "a")

    def test_error_in_stream(self):
        error = b'data: {"error":{"message":"set {} up","type":"server_error"}}\n\n'
        result = self.stream_bytes(delta("a") + error + delta("b"))
        self.assert_failed(result, 5001, "set {} up", "a", detail="server_error")
        self.assertEqual(len(self.server.requests), 1)
        result = self.stream_bytes(delta("a") + b'event: error\ndata: {"message":"no"}\n\n')
        self.assert_failed(result, 5001, "no", "a")

    def test_huge_line(self):
        result = self.stream_bytes(
            delta("a") + b"data: " + b"x" * 100000, options={"max_reply": ("64KiB",)}
        )
        self.assert_failed(result, 5001, "larger than 65536 bytes", "a")

    def test_whole_answer_to_a_stream(self):
        async def scenario(request):
            await request.whole(answer("all at once"), kind="application/json; charset=utf-8")

        result = self.run_call(scenario)
        self.assert_ok(result, "all at once")
        self.assertIn("x-usage-total-tokens=12", result["trailers"])

    def test_cut(self):
        async def scenario(request):
            await request.head()
            await request.say("a")
            await asyncio.sleep(0.05)
            request.cut()
            return False

        result = self.run_call(scenario)
        self.assert_failed(result, 7001, "the connection to the API was lost", "a")
        self.assertEqual(len(self.server.requests), 1)

    def test_cut_without_framing(self):
        """A body that ends with its connection, in the middle and where it should."""

        async def cut(request):
            await request.head(length=False)
            await request.raw(delta("a"))
            return False

        async def whole(request):
            await request.head(length=False)
            await request.raw(delta("a") + b"data: [DONE]\n\n")
            return False

        self.assert_failed(self.run_call(cut), 7001, "in the middle", "a")
        self.assert_ok(self.run_call(whole), "a")

    def test_lingering_server(self):
        """The answer is complete at [DONE], whatever the server does next."""

        async def scenario(request):
            await request.head()
            await request.say("a")
            await request.chunk(b"data: [DONE]\n\n")
            await request.wait_closed()
            return False

        result = self.run_call(scenario)
        self.assert_ok(result, "a")
        self.assertLess(result["ms"], AT_ONCE * 1000)

    def test_reuse(self):
        """The answer and its transfer end in one piece: the next call finds the connection free."""

        async def scenario(request):
            await request.whole(delta("a") + b"data: [DONE]\n\n", kind="text/event-stream")

        self.server.scenarios["m"] = scenario
        calls = [{"method": "stream", "model": "m", "wait": True} for _ in range(5)]
        for result in self.run_calls(*calls):
            self.assert_ok(result, "a")
        self.assertEqual(self.server.connections, 1)

    def test_reuse_after_lingering(self):
        """A transfer that ends after its call, during the second one, leaves the third one its
        connection."""
        second_came, first_ended = asyncio.Event(), asyncio.Event()

        async def first(request):
            await request.head()
            await request.chunk(b"data: [DONE]\n\n")
            await second_came.wait()
            await request.end()
            first_ended.set()

        async def second(request):
            second_came.set()
            await first_ended.wait()
            await request.head()
            await request.chunk(b"data: [DONE]\n\n")
            await request.wait_closed()
            return False

        self.server.scenarios.update(first=first, second=second, third=hello)
        *others, third = self.run_calls(
            *({"method": "stream", "model": model, "wait": True} for model in self.server.scenarios)
        )
        for result in others:
            self.assert_ok(result)
        self.assert_ok(third, "Hello", " world")
        self.assertEqual([request.connection for request in self.server.requests], [1, 2, 1])

    def test_stale_connection(self):
        """The server closes an idle connection just as the next request comes."""

        async def scenario(request):
            await hello(request)
            return False

        self.server.scenarios["m"] = scenario
        calls = [{"method": "stream", "model": "m", "wait": True} for _ in range(5)]
        for result in self.run_calls(*calls):
            self.assert_ok(result, "Hello", " world")

    def test_max_connections(self):
        self.server.scenarios["m"] = hello
        results = self.run_calls(
            {"method": "stream", "model": "m", "repeat": 20}, options={"max_connections": 2}
        )
        for result in results:
            self.assert_ok(result, "Hello", " world")
        self.assertLessEqual(self.server.connections, 4)

    def test_thousand_streams(self):
        n = 200 if SANITIZED else 1000
        gate = asyncio.Event()
        open_now = 0

        async def scenario(request):
            nonlocal open_now
            await request.head()
            await request.say("a")
            open_now += 1
            if open_now == n:
                gate.set()
            await gate.wait()
            for text in "bcdefgh":
                await request.say(text)
            await request.done()

        self.server.scenarios["m"] = scenario
        results = self.run_calls({"method": "stream", "model": "m", "repeat": n})
        self.assertEqual(len(results), n)
        for result in results:
            self.assert_ok(result, *"abcdefgh")
        self.assertEqual(open_now, n)


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
    DRIVE = sys.argv.pop(1)
    if sys.argv[1:2] == ["--sanitized"]:
        SANITIZED = True
        sys.argv.pop(1)
    unittest.main()
