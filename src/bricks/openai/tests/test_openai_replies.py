#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What servers of this API send, rightly and wrongly, and what becomes of it: test_openai_replies.py DRIVE

All calls run at once in one brick."""

import asyncio
import gzip
import json
import zlib

import case
from case import Case
from fault_server import answer

SSE, JSON = "text/event-stream", "application/json"


def chunk(text=None, **choice):
    delta = {} if text is None else {"content": text}
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **choice}]}


def events(*documents, done=True):
    data = b"".join(b"data: " + (d if isinstance(d, bytes) else json.dumps(d).encode()) + b"\n\n" for d in documents)
    return data + (b"data: [DONE]\n\n" if done else b"")


AB = events(chunk("a"), chunk("b", finish_reason="stop"))
WHOLE = json.dumps(answer("ab")).encode()
RAW_DEFLATE = zlib.compressobj(wbits=-15)


class Reply:
    """How the server answers one request."""

    def __init__(self, body, status=200, kind=SSE, hold=None, ping=False, cut=False, gap=0, length=None, **headers):
        self.body, self.status, self.kind, self.headers = body, status, kind, headers
        self.hold = hold    # the connection stays open, and the body has no end
        self.ping = ping    # a comment now and then, while it does
        self.cut = cut      # the connection is reset
        self.gap = gap      # seconds before each event
        self.length = length

    async def send(self, request):
        open_end = self.hold or self.cut or self.gap
        length = self.length or (None if open_end else len(self.body))
        await request.head(self.status, self.kind, length, **self.headers)
        put = request.chunk if length is None else request.raw
        for event in self.body.split(b"\n\n") if self.gap else [self.body]:
            await asyncio.sleep(self.gap)
            await put(event + b"\n\n" if self.gap else event)
        if self.cut:
            await asyncio.sleep(0.1)
            request.cut()
        while self.ping:
            await asyncio.sleep(0.1)
            await put(b": ping\n\n")
        if self.hold:
            await request.wait_closed()
        elif open_end and not self.cut:
            await request.end()
        return not open_end


# name: (method, reply or replies, text, error code or None, words of the message)
GOOD = "ab", None, ""
TABLE = {
    # the body says what it is
    "events labelled json": ("stream", Reply(AB, kind=JSON), *GOOD),
    "events without a label": ("stream", Reply(AB, kind=None), *GOOD),
    "events for a unary call": ("unary", Reply(AB), *GOOD),
    "events labelled json for a unary call": ("unary", Reply(AB, kind=JSON), *GOOD),
    "json labelled events": ("stream", Reply(WHOLE), *GOOD),
    "json labelled text": ("stream", Reply(WHOLE, kind="text/plain"), *GOOD),
    "json without a label": ("unary", Reply(WHOLE, kind=None), *GOOD),
    "pretty json": ("stream", Reply(b"\xef\xbb\xbf\r\n" + json.dumps(answer("ab"), indent=2).encode()), *GOOD),
    "json then done": ("stream", Reply(WHOLE + b"\n\ndata: [DONE]\n\n"), *GOOD),
    "json then done, unary": ("unary", Reply(WHOLE + b"\n\ndata: [DONE]\n\n", kind=JSON), *GOOD),
    "whole answer in an event": ("stream", Reply(events(answer("ab"))), *GOOD),
    "whole answer in an event, unary": ("unary", Reply(events(answer("ab"), done=False)), *GOOD),
    "lines of json": ("stream", Reply(json.dumps(chunk("a")).encode() + b"\n" + json.dumps(chunk("b")).encode()), *GOOD),
    "a list of chunks": ("stream", Reply(json.dumps([chunk("a"), chunk("b")]).encode(), kind=JSON), *GOOD),
    "no empty lines": ("stream", Reply(AB.replace(b"\n\n", b"\n")), *GOOD),
    "text of completions": ("stream", Reply(events({"choices": [{"text": "a"}]}, {"choices": [{"text": "b"}]})), *GOOD),
    "message again at the end": ("stream", Reply(events(chunk("ab"), answer("ab"))), *GOOD),
    "gzip": ("stream", Reply(gzip.compress(AB), Content_Encoding="gzip"), *GOOD),
    "gzip, unary": ("unary", Reply(gzip.compress(WHOLE), kind=JSON, Content_Encoding="gzip"), *GOOD),
    "deflate": ("stream", Reply(zlib.compress(AB), Content_Encoding="deflate"), *GOOD),
    "raw deflate": ("stream", Reply(RAW_DEFLATE.compress(AB) + RAW_DEFLATE.flush(), Content_Encoding="deflate"), *GOOD),
    "gzip error": ("stream", Reply(gzip.compress(b'{"error":"no"}'), 400, JSON, Content_Encoding="gzip"), "", 400, "no"),
    "gzip bomb": ("stream", Reply(gzip.compress(b": \n" * 10000000), Content_Encoding="gzip"), "", 5001, "larger than"),
    "bomb of chunks": ("unary", Reply(gzip.compress(events(chunk(""), done=False) * 100000), Content_Encoding="gzip"), "", 5001,
                       "larger than"),
    "unknown encoding": ("stream", Reply(AB, Content_Encoding="rot13"), "", 5001, "compressed"),
    # what is no document
    "comments and pings": ("stream", Reply(events(b": PROCESSING", b"ping", b"2026-01-01", b"[PING]", b"null", done=False) + AB), *GOOD),
    "ping with json": ("stream", Reply(b'event: ping\ndata: {"type":"ping"}\n\n' + AB), *GOOD),
    "numbers of Python": ("stream", Reply(AB.replace(b'"index": 0', b'"x":[NaN,-Infinity,Infinity]')), *GOOD),
    "a bad byte": ("stream", Reply(events(b'{"choices":[{"delta":{"content":"x\xe5y"}}]}', done=False) + AB), "x\ufffdyab", None, ""),
    "a character in two chunks": ("unary", Reply(events(
        b'{"choices":[{"delta":{"content":"\xe4\xbd"}}]}', b'{"choices":[{"delta":{"content":"\xa0"}}]}')), "你", None, ""),
    "half a character at the end": ("stream", Reply(events(b'{"choices":[{"delta":{"content":"a\xe4\xbd"}}]}')),
                                    "a\ufffd", None, ""),
    # the end
    "finish, then nothing": ("stream", Reply(events(chunk("ab", finish_reason="stop"), done=False), hold=True), *GOOD),
    "finish, then pings": ("stream", Reply(events(chunk("ab", finish_reason="stop"), done=False), ping=True), *GOOD),
    "finish, then a reset": ("stream", Reply(events(chunk("ab", finish_reason="stop"), done=False), cut=True), *GOOD),
    "finish, then rubbish": ("stream", Reply(events(chunk("ab", finish_reason="stop"), b"{oops", done=False)), *GOOD),
    "finish, unary, then nothing": ("unary", Reply(events(chunk("ab", finish_reason="stop"), done=False), hold=True), *GOOD),
    "finish, body too short": ("stream", Reply(events(chunk("ab", finish_reason="stop"), done=False), length=9999, cut=True),
                               *GOOD),
    "whole, then nothing": ("unary", Reply(WHOLE, kind=JSON, hold=True), *GOOD),
    "whole without a reason, then nothing": ("stream", Reply(json.dumps(
        {"choices": [{"message": {"content": "ab"}}]}).encode(), kind=JSON, hold=True), *GOOD),
    "gzip, finish, then nothing": ("stream", Reply(gzip.compress(AB)[:-8], hold=True, length=999, Content_Encoding="gzip"), *GOOD),
    "done, then nothing": ("unary", Reply(AB, hold=True), *GOOD),
    "error, then nothing": ("stream", Reply(b'{"error":"no"}', 400, hold=True), "", 400, "no"),
    # life
    "reasoning": ("stream", Reply(events(*[
        {"choices": [{"delta": {"reasoning_content": "hm"}}]}] * 6, chunk("ab")), gap=0.25), *GOOD),
    "pings are no life": ("stream", Reply(b": ping\n\n" * 20, gap=0.5), "", 4004, "did not start"),
    # errors that HTTP calls a success
    "base_resp": ("stream", Reply(events({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no money"}},
                                         done=False)), "", 5001, "no money"),
    "code and message": ("stream", Reply(events({"code": "InvalidParameter", "message": "too long"})), "", 400, "too long"),
    "code and message, unary": ("unary", Reply(b'{"code":20012,"message":"no such model","data":null}', kind=JSON), "", 5001,
                                "no such model"),
    "object error": ("unary", Reply(b'{"object":"error","message":"no","code":404}', kind=JSON), "", 404, "no"),
    "error after text": ("stream", Reply(events(chunk("a"), {"error": {"message": "broke", "code": 502}})), "a", 5003, "broke"),
    "bare error after text": ("stream", Reply(events(chunk("a"), done=False) + b'{"error":{"message":"broke"}}\n'), "a", 5001,
                              "broke"),
    "error of a choice": ("stream", Reply(events(chunk("a"), chunk("", finish_reason="error", error={
        "code": 502, "message": "Provider returned error"}))), "a", 5003, "Provider returned error"),
    "reason error": ("stream", Reply(events(chunk("a"), chunk("", finish_reason="error"))), "a", 5001, "finish_reason error"),
    "line of llama.cpp": ("stream", Reply(events(chunk("a"), done=False) + b'error: {"code":500,"message":"broke"}\n\n'), "a",
                          5001, "broke"),
    "only done": ("stream", Reply(events()), "", 5001, "empty"),
    "only done, unary": ("unary", Reply(events()), "", 5001, "empty"),
    "no choices": ("stream", Reply(events({"object": "list", "data": []})), "", 5001, '"object": "list"'),
    "a page": ("unary", Reply(b"<html><title>Log in</title></html>", kind="text/html"), "", 5001, "Log in"),
    "a page for a stream": ("stream", Reply(b"\n <html><title>Log in</title></html>", kind="text/html"), "", 5001, "Log in"),
    "a page in Chinese": ("unary", Reply("<title>系统繁忙</title>".encode(), kind="text/html"), "", 5001, "due: 系统繁忙"),
    "a page in another encoding": ("unary", Reply(b"<title>\xcf\x7f</title>", kind="text/html"), "", 5001, "due: \ufffd?"),
    "a text": ("stream", Reply(b"service unavailable", kind="text/plain"), "", 5001, "service unavailable"),
    "broken json": ("stream", Reply(b'{"choices":[{"message"', kind=JSON), "", 5001, "not JSON"),
    # errors of HTTP
    "list": ("stream", Reply(b'[{"error":{"code":400,"message":"bad key"}}]', 400, JSON), "", 400, "bad key"),
    "detail": ("stream", Reply(b'{"object":"error","message":{"detail":[{"loc":["body","x"],"msg":"Extra"}]}}', 422, JSON),
               "", 422, "body.x: Extra"),
    "event": ("stream", Reply(b'data: {"error":{"message":"bad"}}\n\n', 400), "", 400, "bad"),
    "text": ("unary", Reply(b"  no healthy\nupstream\n", 503, "text/plain"), "", 5003, "no healthy upstream"),
    "page": ("stream", Reply(b"\r\n<html><title>502 Bad Gateway</title></html>", 502, "text/html"), "", 5003, "502 Bad Gateway"),
    "too large": ("stream", Reply(b'{"error":{"message":"large","code":"rate_limit_exceeded"}}', 413, JSON), "", 413, "large"),
    # delays before another try
    "retry-after-ms": ("stream", [Reply(b"{}", 429, JSON, retry_after_ms="300"), Reply(AB)], *GOOD),
    "a fraction": ("stream", [Reply(b"{}", 503, JSON, Retry_After="0.3"), Reply(AB)], *GOOD),
    "no number": ("stream", [Reply(b"{}", 503, JSON, Retry_After="soon"), Reply(AB)], *GOOD),
    "negative": ("stream", [Reply(b"{}", 503, JSON, Retry_After="-5"), Reply(AB)], *GOOD),
    "both": ("stream", [Reply(b"{}", 503, JSON, Retry_After="9", retry_after_ms="300"), Reply(AB)], *GOOD),
}


class Replies(Case):
    def scenario(self, name, replies):
        attempts = iter(replies)

        async def scenario(request):
            return await next(attempts).send(request)

        return scenario

    def test_table(self):
        for name, (_, replies, *_) in TABLE.items():
            self.server.scenarios[name] = self.scenario(name, replies if isinstance(replies, list) else [replies] * 3)
        options = {"first_token": ("4s",), "stall": ("9s",), "max_reply": ("1MiB",), "retries": 1}
        process = self.start(*({"method": row[0], "model": name} for name, row in TABLE.items()), options=options)
        for (name, (method, replies, text, code, words)), result in zip(TABLE.items(), self.finish(process)):
            with self.subTest(name):
                self.assertEqual("".join(reply[0] for reply in result["replies"]), text, result)
                self.assertEqual(result["code"], code or 200, result)
                self.assertIn(words, result["message"])
                if not code:
                    self.assertEqual([reply[1] for reply in result["replies"]][-1:], [True], result)
                if name in ("retry-after-ms", "a fraction", "both"):
                    came = [request.time for request in self.server.requests if request.json["model"] == name]
                    self.assertGreater(came[1] - came[0], 0.29)
                    self.assertLess(came[1] - came[0], 8)

    def test_complete_within_a_second(self):
        """After the reason for the end, whatever the connection does; several calls, so that one slow turn of this machine
        does not count."""
        for name in ("finish, then nothing", "finish, then pings", "whole, then nothing"):
            method, reply, *_ = TABLE[name]
            self.server.scenarios[name] = self.scenario(name, [reply] * 3)
            times = [r["ms"] for r in self.run_calls(*[{"method": method, "model": name}] * 3)]
            self.assertLess(min(times), 1000)


if __name__ == "__main__":
    case.main()
