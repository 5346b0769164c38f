#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Requests, answers and streams: test_openai.py DRIVE"""

import asyncio
import json

import case
from case import AT_ONCE, Case, hello
from fault_server import answer, delta


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
            prompt="",
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

    def test_further_fields_headers_and_query(self):
        self.run_call(
            hello,
            temperature=0.5,
            options={
                "api_key": "sk-1",
                "query": {"api-version": "2024-10-21", "x": "a b&c"},
                "headers": {"api-key": "k-12345678", "HTTP-Referer": "https://me.example/"},
                "body": {
                    "enable_thinking": False,
                    "stop": ["a", "b"],
                    "chat_template_kwargs": {"n": 1, "f": (".5",)},
                    "temperature": 1,
                },
            },
        )
        (request,) = self.server.requests
        self.assertEqual(
            request.line, "POST /v1/chat/completions?api-version=2024-10-21&x=a+b%26c HTTP/1.1"
        )
        self.assertEqual(request.headers["api-key"], "k-12345678")
        self.assertEqual(request.headers["http-referer"], "https://me.example/")
        self.assertEqual(request.headers["authorization"], "Bearer sk-1")
        self.assertNotIn("accept-encoding", request.headers)
        self.assertEqual(request.json["enable_thinking"], False)
        self.assertEqual(request.json["stop"], ["a", "b"])
        self.assertEqual(request.json["chat_template_kwargs"], {"n": 1, "f": 0.5})
        self.assertEqual(request.json["temperature"], 0.5)

    def test_header_is_not_repeated(self):
        async def scenario(request):
            await request.whole({"error": f"bad key {request.headers['api-key']}!"}, status=401)

        result = self.run_call(scenario, options={"headers": {"api-key": "k-12345678"}})
        self.assertEqual(result["message"], "bad key **********!")

    def test_temperature_zero(self):
        for how, temperature in [
            ({"metadata": {"x-temperature": "0"}}, 0),
            ({"metadata": {"x-temperature": "0.25"}}, 0.25),
            ({"metadata": {"x-temperature": "0.25"}, "temperature": 0.5}, 0.5),
            ({}, 1.5),
        ]:
            self.run_call(hello, options={"temperature": (1.5,)}, **how)
            self.assertEqual(self.server.requests[-1].json["temperature"], temperature)
        for bad in ("warm", "", "nan", "-1", "1e999", "0" * 40):
            result = self.run_call(hello, metadata={"x-temperature": bad})
            self.assert_failed(result, 2003, "x-temperature")
        self.assertEqual(len(self.server.requests), 4)

    def test_nothing_to_answer(self):
        context = [["user", "hi"], ["assistant", ""]]
        self.run_call(hello, prompt="", context=context)
        self.assertEqual(self.server.requests[0].json["messages"], [{"role": "user", "content": "hi"}])
        for context in ([], [["user", ""]]):
            result = self.run_call(hello, prompt="", context=context, options={"system_prompt": "s"})
            self.assert_failed(result, 2002, "neither a prompt nor a context")
        self.assertEqual(len(self.server.requests), 1)

    def test_name_of_max_tokens(self):
        """Found out by the refusal, once, for later calls as well; nothing else is tried again."""
        refusal = {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "code": "unsupported_parameter",
        }

        async def new(request):
            if "max_tokens" in request.json:
                return await request.whole({"error": refusal}, status=400)
            self.assertEqual(request.json["max_completion_tokens"], 9)
            await hello(request)

        async def never(request):
            await request.whole({"error": refusal}, status=400)

        call = {"method": "stream", "max_tokens": 9, "wait": True}
        self.server.scenarios.update(new=new, never=never)
        results = self.run_calls(*({**call, "model": m} for m in ("new", "new", "never")), options={"retries": 0})
        for result in results[:2]:
            self.assert_ok(result, "Hello", " world")
        self.assert_failed(results[2], 400, "Unsupported parameter")
        sent = [(r.json["model"], "max_tokens" in r.json) for r in self.server.requests]
        self.assertEqual(sent, [("new", True), ("new", False), ("new", False), ("never", False), ("never", True)])
        self.run_call(never, model="new", max_tokens=9, options={"max_tokens_field": "max_completion_tokens"})
        self.run_call(never, model="new", max_tokens=9, options={"max_tokens_field": "max_tokens"})
        sent = [(r.json["model"], "max_tokens" in r.json) for r in self.server.requests[5:]]
        self.assertEqual(sent, [("new", False), ("new", True)])

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
            ({"base_url": "http://x/v1/chat/completions"}, "end before /chat/completions"),
            ({"base_url": "http://x/v1/chat/completions/?a=b"}, "end before /chat/completions"),
            ({"base_url": "http://x/v1/responses"}, "end before /chat/completions"),
            ({"headers": {"a b": "c"}}, "no name of a header"),
            ({"headers": {"Content-Length": "1"}}, "sets this header itself"),
            ({"headers": {"X-A": "a\nb"}}, "printable"),
            ({"headers": {"X-A": ["a"]}}, "expected a text, or a secret"),
            ({"headers": {"Authorization": "a"}, "api_key": "k"}, "api_key sets this header"),
            ({"query": {"a": ["b"]}}, "expected a text"),
            ({"body": {"stream": True}}, "sets this field itself"),
            ({"stall": ("1s",), "idle_timeout": ("2s",)}, "former name of stall"),
        ]:
            with self.subTest(options=options):
                self.finish(self.start(options=options), status=78)
                self.assertIn(blame, self.said)

    def test_clear_text_warning(self):
        far, near = "http://proxy.invalid:3128", "http://127.0.0.1:3128"
        local, key = "http://localhost:1/v1", {"api_key": "sk-1"}
        for url, options, env, warned in [
            ("http://llm.invalid/v1", key, {}, "llm.invalid"),
            ("http://llm.invalid/v1", {}, {}, None),
            ("http://llm.invalid/v1", {"headers": {"api-key": "sk-1"}}, {}, "llm.invalid"),
            ("https://llm.invalid/v1", key, {"http_proxy": far}, None),
            (local, key, {}, None),
            ("http://[::1]:1/v1", key, {}, None),
            (local, key, {"http_proxy": far}, "the proxy proxy.invalid"),
            (local, key, {"all_proxy": "proxy.invalid:1"}, "the proxy proxy.invalid"),
            (local, key, {"http_proxy": far, "no_proxy": "x, localhost"}, None),
            (local, key, {"http_proxy": far, "no_proxy": "*"}, None),
            (local, key, {"http_proxy": near}, None),
            (local, {"proxy": "", **key}, {"http_proxy": far}, None),
            (local, {"proxy": far, **key}, {"no_proxy": "*"}, "the proxy proxy.invalid"),
            ("http://llm.invalid/v1", key, {"http_proxy": far}, "the proxy proxy.invalid"),
            ("http://a.llm.invalid/v1", key, {"http_proxy": far, "no_proxy": ".llm.invalid"}, "a.llm.invalid"),
        ]:
            self.finish(self.start(options={"base_url": url, **options}, env=env))
            self.assertEqual("unencrypted" in self.said, bool(warned), (url, options, env))
            self.assertIn(f"sent to {warned} unencrypted" if warned else "", self.said)
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
        self.assert_failed(self.stream_bytes(b"data: [DONE]\n\n"), 5001, "empty")

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
            await request.say("a")
            await request.chunk(b"data: [DONE]\n\n")
            await second_came.wait()
            await request.end()
            first_ended.set()

        async def second(request):
            second_came.set()
            await first_ended.wait()
            await request.head()
            await request.say("a")
            await request.chunk(b"data: [DONE]\n\n")
            await request.wait_closed()
            return False

        self.server.scenarios.update(first=first, second=second, third=hello)
        *others, third = self.run_calls(
            *({"method": "stream", "model": model, "wait": True} for model in self.server.scenarios)
        )
        for result in others:
            self.assert_ok(result, "a")
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
        n = 200 if case.SANITIZED else 1000
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


if __name__ == "__main__":
    case.main()
