# SPDX-License-Identifier: MIT
"""Ports with `protocol: http`: what clients of every kind meet, good ones and bad ones, while others are served."""
import contextlib
import gzip
import hashlib
import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from door import CHAT, UNARY, Door, ask, brick, error, events, exchange, get, question, read_all, statuses, text_of
from harness import BUILD, SANITIZED, Brickd, Stopwatch, call, eq, free_port, main, memory, test, wait_for
from pki import Authority

CLOSE = "Connection: close"


# --- requests and answers


@test
def models_and_health():
    bricks = brick() + brick("other", more=", match: { model_id: [gpt-4o] }")
    with Door(bricks.replace("name: chat,", "name: chat, default: true,")) as d:
        status, head, body = d.ask()
        eq((status, head["content-type"]), (200, "application/json"))
        models = json.loads(body)
        eq(models["object"], "list")
        eq([m["id"] for m in models["data"]], ["chat", "other", "gpt-4o"])
        assert all(m["object"] == "model" and m["owned_by"] == "brickd" and m["created"] > 0 for m in models["data"])
        status, _, body = d.ask(url="/v1/models/gpt-4o")
        eq((status, json.loads(body)["id"]), (200, "gpt-4o"))
        status, _, body = d.ask(url="/v1/models/none")
        eq((status, error(body)["code"]), (404, "model_not_found"))
        status, head, body = d.ask(url="/health")
        eq((status, json.loads(body)), (200, {"status": "ok"}))
        assert head["x-request-id"] and head["date"].endswith("GMT") and head["keep-alive"] == "timeout=300"
        status, _, body = d.ask(url="/v1/nothing")
        eq((status, error(body)["code"]), (404, "unknown_url"))
        assert "GET /v1/models" in error(body)["message"]
        status, head, _ = d.ask("POST", "/v1/models", "x")
        eq((status, head["allow"]), (405, "GET, HEAD, OPTIONS"))
        eq(d.ask(url="/health", x_request_id="abc")[1]["x-request-id"], "abc")


@test
def models_that_bricks_name():
    """Those of GetServiceInfo: listed and found, for those who may call the brick; no brick is waited for."""
    contract = os.path.join(BUILD, "tests", "module", "contract.so")
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    bricks = (brick(more=", default: true") + brick("named", more=", match: { model_id: [n] }") +
              f"  - {{ name: own, module: {contract}, options: {{ type: LLM }}, match: {{ x-brick: own }} }}\n"
              f"  - {{ name: far, module: remote, options: {{ type: LLM, to: '127.0.0.1:{silent.getsockname()[1]}' }}, match: {{ x-brick: far }} }}\n")

    def models(**fields):
        return [m["id"] for m in json.loads(d.ask(**fields)[2])["data"]]

    with guarded(bricks=bricks) as d:
        everything = ["chat", "named", "n", "own", "m", "far"]
        wait_for("the brick's own model", lambda: models(**bearer("web")) == everything)
        eq(models(**bearer("streams")), ["chat"])
        eq([d.ask(url="/v1/models/m", **bearer(token))[0] for token in ("web", "streams")], [200, 404])
        status, _, body = d.ask("POST", CHAT, question("case:ok", model="m"), **bearer("web"))
        eq((status, json.loads(body)["model"]), (200, "m"))
        d.says("brick=own")
        eq(d.ask("POST", CHAT, question(model="m", stream=True), **bearer("streams"))[0], 403)
        _, _, body = d.ask("POST", CHAT, question(model="contract"), **bearer("web"))
        eq(error(body)["code"], "model_not_found", "the name of a module is none of a model")
        assert "'m'" in error(body)["message"], body
        assert "case" not in d.ask("POST", CHAT, question(model="nope"), **bearer("streams"))[2].decode()
        # A reload asks anew.
        d.write(bricks.replace("named", "other"))
        d.ctl("reload")
        wait_for("the models after the reload", lambda: models(**bearer("web")) ==
                 [name.replace("named", "other") for name in everything])
        watch = Stopwatch()
        d.stop()
        assert watch.elapsed().running < 5, "the brick that does not answer has held up the stop"


@test
def a_brick_that_cannot_name_its_models_is_asked_again():
    there, contract = free_port(), os.path.join(BUILD, "tests", "module", "contract.so")
    far = f"  - {{ name: far, module: remote, options: {{ type: LLM, to: '127.0.0.1:{there}' }} }}\n"

    def models():
        return [m["id"] for m in json.loads(d.ask()[2])["data"]]

    with Door(far) as d:
        eq(models(), ["far"])
        server = Brickd(f"  - {{ name: own, module: {contract}, options: {{ type: LLM }} }}\n", port=there)
        with server:
            wait_for("the model of the brick behind", lambda: models() == ["far", "m"], 20)
            status, _, body = d.ask("POST", CHAT, question("case:ok", model="m"))
            eq((status, json.loads(body)["model"]), (200, "m"))
        eq(models(), ["far", "m"], "what it has said last")


@test
def page_for_browsers():
    with guarded() as d:
        total = 0
        for path_of, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")):
            status, plain_head, plain = d.ask(url=path_of)
            eq((status, plain_head["content-type"]), (200, kind + "; charset=utf-8"))
            status, head, body = d.ask(url=path_of, accept_encoding="gzip, deflate, br")
            eq((status, head["content-encoding"], plain_head["content-encoding"]), (200, "gzip", None))
            eq(gzip.decompress(body), plain)
            total += len(body)
            assert head["content-security-policy"].startswith("default-src 'none'; script-src 'self'; "), head
            eq((head["cache-control"], head["vary"]), ("no-cache", "Accept-Encoding"))
            status, again, body = d.ask(url=path_of, if_none_match=head["etag"])
            eq((status, again["etag"], again["content-length"], body), (304, head["etag"], None, b""))
            status, again, body = d.ask("HEAD", path_of)
            eq((status, int(again["content-length"]), body), (200, len(plain), b""))
        print(f"# the page has {total} bytes compressed")
        assert total <= 20 << 10, total
        eq(d.ask(url="/index.html")[0], 404)
    with guarded(http="{ page: false }") as d:
        for path_of in ("/", "/app.js", "/style.css"):
            status, head, body = d.ask(url=path_of)
            eq((status, error(body)["code"], head["content-security-policy"]), (404, "unknown_url", None))


@test
def a_call_is_explained_to_who_has_the_key():
    pipeline = os.path.join(BUILD, "src", "bricks", "pipeline.so")
    bricks = brick(more=", default: true") + brick("wrong", "error_code: 4005", ", match: { model_id: wrong }")
    for name, step in (("good", "chat"), ("bad", "wrong")):
        bricks += (f"  - {{ name: {name}, module: {pipeline}, match: {{ model_id: {name} }},"
                   f" options: {{ type: LLM, steps: [ {{ brick: {step} }} ] }} }}\n")
    with Door(bricks) as d:
        key = re.search("#explain=([0-9a-f]{32})$", d.ctl("open").stdout.strip())[1]

        def ask_it(name, method="Unary", **headers):
            status, head, body = d.ask("POST", f"/v1/bricks/{name}/{method}", '{"prompt": "x"}', **headers)
            return status, head["content-type"], body.decode().splitlines()

        for method in ("Unary", "OutputStreaming"):
            status, kind, lines = ask_it("good", method, x_brick_explain=key)
            eq((status, kind), (200, "application/x-ndjson"))
            assert all("text" in json.loads(line) for line in lines[:-1]), lines
            eq([s["step"] for s in json.loads(lines[-1])["steps"]], ["chat"])
        status, _, lines = ask_it("bad", x_brick_explain=key)
        eq((status, len(lines), json.loads(lines[0])["error"]["brick_code"]), (200, 2, 4005))
        assert "4005" in json.loads(lines[1])["steps"][0]["verdict"], lines
        _, _, lines = ask_it("good", x_brick_explain=key, accept="text/event-stream")
        assert '"steps"' in lines[-4] and lines[-2] == "data: [DONE]", lines
        eq(json.loads(ask_it("chat", x_brick_explain=key)[2][-1]), {"steps": []})
        for wrong in ("1", "0" * 32, key[:-1], key + "0", ""):
            status, kind, lines = ask_it("good", x_brick_explain=wrong)
            eq((status, kind), (200, "application/json"))
            assert "steps" not in "".join(lines), lines


@test
def bricks_have_counters():
    with Door(brick(options="delay: 100ms, tokens: 1000")) as d:
        numbers = ("in_flight", "queued", "calls", "failures")

        def counted():
            return [json.loads(d.ask(url="/v1/bricks")[2])["data"][0][n] for n in numbers]

        eq(counted(), [0, 0, 0, 0])
        client = d.client()
        client.request("POST", CHAT, question(stream=True))
        wait_for("the call", lambda: counted() == [1, 0, 0, 0])
        client.getresponse().close()
        client.close()
        wait_for("its end", lambda: counted() == [0, 0, 1, 1])


@test
def chat_completions():
    with Door() as d:
        status, _, body = d.ask("POST", CHAT, question(seed=1, top_p=1))
        answer = json.loads(body)
        eq(status, 200)
        eq(answer["choices"], [{"index": 0, "message": {"role": "assistant", "content": "Echo: hello", "refusal": None},
                                "logprobs": None, "finish_reason": "stop"}])
        assert answer["id"].startswith("chatcmpl-") and answer["object"] == "chat.completion", answer
        eq((answer["model"], answer["usage"]), ("chat", dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)))
        _, head, body = d.ask("POST", CHAT, question(seed=1, max_tokens=3, stream=True))
        eq(head["content-type"], "text/event-stream; charset=utf-8")
        eq((head["x-brickd-ignored"], head["cache-control"]), ("seed", "no-cache, no-transform"))
        said = events(body)
        eq(said[-1], "[DONE]")
        chunks = [json.loads(event) for event in said[:-1]]
        eq([c["choices"][0]["delta"] for c in chunks],
           [{"role": "assistant", "content": ""}] + [{"content": f"tok{i} "} for i in range(3)] + [{}])
        eq([c["choices"][0]["finish_reason"] for c in chunks], [None] * 4 + ["stop"])
        eq(len({c["id"] for c in chunks}), 1, "ids")
        *_, last, done = events(d.ask("POST", CHAT, question(stream=True, stream_options={"include_usage": True}))[2])
        eq((json.loads(last)["choices"], json.loads(last)["usage"], done), ([], None, "[DONE]"))


@test
def stops_are_cut_across_pieces():
    with Door() as d:
        for stop, expected in ((" tok2", "tok0 tok1"), (["2 tok3", "nothing"], "tok0 tok1 tok"), ("tok9 x", None)):
            text = text_of(d.ask("POST", CHAT, question(stream=True, stop=stop))[2])
            eq(text, expected or "".join(f"tok{i} " for i in range(10)), stop)
        _, _, body = d.ask("POST", CHAT, question("a b c", stop="b"))
        eq(json.loads(body)["choices"][0]["message"]["content"], "Echo: a ")


@test
def wrong_requests_are_refused_by_name():
    with Door() as d:
        for body, code, param in (("{", "invalid_json", None), (question(n=2), "unsupported_parameter", "n"),
                                  (question(tools=[{"type": "function"}]), "unsupported_parameter", "tools"),
                                  (json.dumps({"model": "chat"}), "missing_required_parameter", "messages")):
            status, head, answer = d.ask("POST", CHAT, body)
            eq((status, error(answer)["code"], error(answer)["param"]), (400, code, param), body)
            eq(head["x-should-retry"], "false")
        status, _, answer = d.ask("POST", CHAT, question().replace('"chat"', '"gpt"'))
        eq((status, error(answer)["code"], error(answer)["param"]), (404, "model_not_found", "model"))
        assert "'chat'" in error(answer)["message"], answer
        eq(d.ask("POST", CHAT, question(), content_encoding="gzip")[0], 415)


@test
def errors_of_bricks_have_a_status():
    codes = {401: 502, 404: 404, 418: 418, 2001: 400, 3001: 403, 3002: 502, 4001: 404, 4005: 429, 6001: 404, 12: 501,
             9001: 400, 7001: 503}
    bricks = brick().replace("name: chat,", "name: chat, default: true,") + "".join(
        brick(f"e{code}", f"error_code: {code}, error_message: no luck", f", match: {{ x-brick: [e{code}] }}") for code in codes)
    with Door(bricks) as d:
        for code, status in codes.items():
            got, _, body = d.ask("POST", CHAT, question().replace('"chat"', f'"e{code}"'))
            eq((got, error(body)["brick_code"], error(body)["message"]), (status, code, "no luck"))
        _, _, body = d.ask("POST", CHAT, question(stream=True, max_tokens=3).replace('"chat"', '"e404"'))
        *chunks, last = events(body)
        eq(json.loads(last)["error"]["brick_code"], 404, "in mid-stream")
        assert "[DONE]" not in chunks
        d.says("http_status=418")


@test
def a_brick_that_takes_too_long():
    with Door(brick(options="delay: 1m", more=", limits: { timeout: 300ms }"), http="{ keepalive: 1s }") as d:
        watch = Stopwatch()
        eq(d.ask("POST", CHAT, question())[0], 504)
        status, _, body = d.ask("POST", CHAT, question(stream=True))
        eq((status, error(body)["code"]), (504, "timeout"), "before the first byte")
        assert watch.elapsed().running < 4, watch.elapsed()
    with Door(brick(options="delay: 2s, tokens: 1"), http="{ keepalive: 1s }") as d:
        body = d.ask("POST", CHAT, question(stream=True))[2]
        assert re.match(rb"(: keep-alive\n)+data: ", body), body
        eq(text_of(body), "tok0 ")


# --- framing


@test
def one_connection_many_requests():
    with Door() as d:
        client = d.client()
        for _ in range(50):
            eq(ask(client)[0], 200)
            eq(ask(client, "POST", CHAT, question())[0], 200)
            eq(ask(client, "POST", CHAT, question(stream=True))[0], 200)
            status, head, body = ask(client, "HEAD")
            eq((status, body), (200, b""))
            assert int(head["content-length"]) > 50
        client.close()
        post = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(question())}\r\n\r\n{question()}".replace("x\r", "localhost\r")
        answers = exchange(d, get() * 20 + post.encode() * 20 + get("/v1/models", CLOSE))
        eq(statuses(answers), [200] * 41, "pipelined")
        pieces = get("/health", CLOSE)
        with d.socket() as s:
            for byte in pieces:
                s.sendall(bytes([byte]))
            eq(statuses(read_all(s)), [200], "a head in single bytes")
        old = exchange(d, b"GET /health HTTP/1.0\r\n\r\n")
        eq(statuses(old), [200])
        assert b"Connection: close" in old
        old = exchange(d, f"POST {CHAT} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {len(question(stream=True))}\r\n\r\n{question(stream=True)}".encode())
        assert b"chunked" not in old and old.endswith(b"data: [DONE]\n\n"), old


@test
def bodies():
    body = question("x" * 100000).encode()
    with Door() as d:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{CLOSE}\r\n".encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 997]), body[i:i + 997]) for i in range(0, len(body), 997))
        answer = exchange(d, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        eq(statuses(answer), [200], "chunks")
        assert b"x" * 100000 in answer
        with d.socket() as s:
            s.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            eq(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(body)
            eq(statuses(read_all(s)), [200])
        tiny = b"".join(b"1\r\nx\r\n" for _ in range(100000))
        eq(statuses(exchange(d, head + b"Transfer-Encoding: chunked\r\n\r\n" + tiny + b"0\r\n\r\n")), [400], "tiny chunks")


@test
def what_is_framed_wrong_ends_the_connection():
    with Door(limits="{ request: 100KiB, metadata: 4KiB }") as d:
        post = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n".encode()
        for raw, status in (
                (post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
                (post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
                (post + b"X: a\r\n b\r\n\r\n", 400),
                (post + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
                (post + b"Content-Length: 200000\r\n\r\n" + b"x" * 200000, 413),
                (post + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 10, 413),
                (get("/", "X: " + "x" * 5000), 431),
                (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000, 431),
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
                (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)):
            answer = exchange(d, raw)
            eq(statuses(answer), [status], raw[:100])
            assert b"Connection: close" in answer
        eq(d.ask()[0], 200)


@test
def slow_requests_are_ended():
    with Door(limits="{ request_time: 1s }") as d:
        slow = [b"GET / HT", f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{{".encode()]
        watch = Stopwatch()
        sockets = [d.socket() for _ in slow]
        for s, raw in zip(sockets, slow):
            s.sendall(raw)
        for s in sockets:
            eq(read_all(s), b"")
        assert 0.9 < watch.elapsed().seconds and watch.elapsed().running < 5, watch.elapsed()
        d.says("a request did not end within limits.request_time")
        eq(d.ask()[0], 200)


# --- who may


def digest(token):
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


IDENTITIES = f"""identities:
  - {{ name: web, token: "{digest('web')}", allow: ["*"] }}
  - {{ name: streams, token: "{digest('streams')}", allow: [chat/OutputStreaming] }}
  - {{ name: none, token: "{digest('none')}", allow: [] }}
  - {{ name: slow, token: "{digest('slow')}", allow: ["*"], rate: 0.1, burst: 1 }}
  - {{ name: certified, certificate: ["CN:client"], allow: ["*"] }}
"""


def guarded(**options):
    extra = options.pop("extra", "log: { access: all }\n") + "identities: identities.yaml\n"
    d = Door(extra=extra, **options)
    with open(os.path.join(d.dir, "identities.yaml"), "w") as f:
        f.write(IDENTITIES)
    return d


def bearer(token):
    return {"authorization": "Bearer " + token}


@test
def identities():
    with guarded() as d:
        status, head, body = d.ask()
        eq((status, head["www-authenticate"], error(body)["code"]), (401, "Bearer", "invalid_api_key"))
        eq(d.ask("POST", CHAT, question(), **bearer("wrong"))[0], 401)
        eq(d.ask(url="/health")[0], 200, "health is open")
        eq(d.ask("POST", CHAT, question(), **bearer("web"))[0], 200)
        eq(d.ask("POST", CHAT, question(), **bearer("streams"))[0], 403)
        eq(d.ask("POST", CHAT, question(stream=True), **bearer("streams"))[0], 200)
        for token, models in (("web", ["chat"]), ("streams", ["chat"]), ("none", [])):
            eq([m["id"] for m in json.loads(d.ask(**bearer(token))[2])["data"]], models)
        eq(d.ask("POST", CHAT, question(), **bearer("slow"))[0], 200)
        status, head, body = d.ask("POST", CHAT, question(), **bearer("slow"))
        eq((status, error(body)["code"]), (429, "rate_limit_exceeded"))
        assert 0 < int(head["retry-after"]) <= 10 and int(head["retry-after-ms"]) > 1000
        d.says("identity=streams")
        eq(d.ask("OPTIONS", "/v1/models")[0], 204, "no token is asked for")
    with guarded(port_extra="    authenticate: all") as d:
        eq([d.ask(url="/health")[0], d.ask(url="/health", **bearer("none"))[0]], [401, 200])


@test
def tls_and_client_certificates():
    d = guarded(port_extra="    tls: { certificate: server.pem, key: { file: server.key }, client_ca: ca.pem, client_certificate: optional }")
    authority = Authority(os.path.join(d.dir, "pki"))
    authority.issue("server")
    authority.issue("client", san=None, common_name="client")
    for name in ("server.pem", "server.key", "ca.pem"):
        shutil.copy(authority.path(name), d.dir)
    with d:
        context = ssl.create_default_context(cafile=authority.path("ca.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])

        def client():
            return http.client.HTTPSConnection("127.0.0.1", d.port, context=context, timeout=20)

        c = client()
        for _ in range(3):
            eq(ask(c, "POST", CHAT, question("x" * 200000), **bearer("web"))[0], 200)
        eq(c.sock.selected_alpn_protocol(), "http/1.1")
        eq(ask(client())[0], 401)
        context.load_cert_chain(authority.path("client.pem"), authority.path("client.key"))
        eq(ask(client(), "POST", CHAT, question())[0], 200, "by certificate")
        d.says("identity=certified")
        serial = c.sock.getpeercert()["serialNumber"]
        authority.issue("server")
        for name in ("server.key", "server.pem"):
            shutil.copy(authority.path(name), d.dir)

        def renewed():
            fresh = client()
            fresh.connect()
            with fresh.sock:
                return fresh.sock.getpeercert()["serialNumber"] != serial

        wait_for("the new certificate", renewed, 20)
        eq(ask(c, **bearer("web"))[0], 200, "an open connection keeps its own")
        with d.socket() as s:
            s.sendall(get())
            assert b"HTTP" not in read_all(s)


@test
def other_pages_and_names():
    with Door(http="{ cors: ['https://good.example'], hosts: [door.local] }") as d:
        host = f"127.0.0.1:{d.port}"
        eq(d.ask(origin=f"http://{host}")[0], 200, "its own page")
        status, head, _ = d.ask(origin="https://good.example")
        eq((status, head["access-control-allow-origin"], head["vary"]), (200, "https://good.example", "Origin"))
        assert {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(head["access-control-expose-headers"].split(", ")), head
        status, head, body = d.ask(origin="https://evil.example")
        eq((status, head["access-control-allow-origin"], error(body)["code"]), (403, None, "origin_not_allowed"))
        status, head, _ = d.ask("OPTIONS", CHAT, origin="https://good.example",
                                access_control_request_headers="authorization, x-stainless-os",
                                access_control_request_method="POST")
        eq((status, head["access-control-allow-headers"], head["access-control-max-age"]),
           (204, "authorization, x-stainless-os", "600"))
        eq(d.ask("OPTIONS", CHAT, origin="https://evil.example")[0], 403)
        for name, status in (("localhost", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("door.local:99", 200),
                             ("rebound.example", 403)):
            eq(d.ask(host=name)[0], status, name)


# --- many, slow, silent clients


@test
def idle_connections_cost_little():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = 10000 if hard >= 12000 and not SANITIZED else 1000
    with Door(limits=f"{{ connections: {n + 100}, connections_per_address: {n + 100} }}", extra="log: { access: off }") as d:
        eq(d.ask()[0], 200)
        before = memory(d)
        held = [d.socket() for _ in range(n)]
        for s in held:
            s.sendall(get())
        for s in held:
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        eq(d.ask("POST", CHAT, question())[0], 200)
        if before:
            print(f"# {(memory(d) - before) / n:.0f} bytes of memory for each of {n} idle connections")
            assert memory(d) - before < n * 2048, memory(d) - before
        for s in held:
            s.sendall(get())
        for s in held:
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
            s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@test
def readers_that_stall_are_bounded_and_ended():
    n = 100
    body = question(stream=True, max_tokens=1000000).encode()
    with Door(brick(options="size: 4KiB"), limits="{ stall: 2s }", extra="log: { access: off }") as d:
        eq(d.ask()[0], 200)
        before = memory(d)
        held = []
        for _ in range(n):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", d.port))
            s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            held.append(s)
        wait_for("all calls", lambda: d.in_flight() == n, 20)
        with Bystander(d) as other:
            time.sleep(0.5)
        if before:
            print(f"# {(memory(d) - before) >> 10} KiB for {n} readers that stall; a call by gRPC took {other.worst * 1e3:.1f} ms at worst")
            assert memory(d) - before < 16 << 20, memory(d) - before
        wait_for("their end", lambda: d.in_flight() == 0, 20)
        d.says("limits.stall")
        for s in held:
            s.close()
        eq(d.ask()[0], 200)


class Bystander:
    """Calls by gRPC all the while."""

    def __init__(self, door):
        self.channel, self.stopping, self.worst, self.calls = door.grpc(), False, 0, 0
        self.failures = []

    def run(self):
        while not self.stopping:
            watch = Stopwatch()
            _, status, details, _ = call(self.channel, UNARY)
            self.worst = max(self.worst, watch.elapsed().running)
            self.calls += 1
            if status != "OK":
                self.failures.append((status, details))
            time.sleep(0.005)

    def __enter__(self):
        eq(call(self.channel, UNARY)[1], "OK")
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stopping = True
        self.thread.join()
        eq(self.failures, [])
        assert self.calls > 0


@test
def unfinished_bodies_are_bounded():
    """Those that do not fit into the memory for requests are refused; small ones go on."""
    size, n = 4 << 20, 40
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
    with Door(extra="log: { access: off }\nmemory: 64MiB") as d:
        eq(d.ask()[0], 200)
        before, held, refused = memory(d), [], 0
        with Bystander(d):
            for _ in range(n):
                s = d.socket()
                with contextlib.suppress(OSError):  # a refusal may come while the body is sent
                    s.sendall(head + b" " * (size - 1))
                held.append(s)
            for s in held:
                s.settimeout(0.2)
                with contextlib.suppress(OSError):
                    refused += s.recv(4096).startswith(b"HTTP/1.1 503")
            eq(d.ask("POST", CHAT, question("x" * 10000))[0], 200)
        assert n // 2 < refused < n, refused
        if before:
            print(f"# {refused} of {n} bodies refused, {(memory(d) - before) >> 20} MiB for the others")
            assert memory(d) - before < 48 << 20, memory(d) - before
        for s in held:
            s.close()
        wait_for("room", lambda: d.ask("POST", CHAT, question("x" * (3 << 20)))[0] == 200, 20)


@test
def who_leaves_ends_the_call():
    with Door(brick(options="delay: 1m")) as d:
        for more in ({}, {"stream": True}):
            s = d.socket()
            body = question(**more).encode()
            s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            wait_for("the call", lambda: d.in_flight() == 1, 20)
            watch = Stopwatch()
            s.close()
            wait_for("its end", lambda: d.in_flight() == 0, 20)
            assert watch.elapsed().running < 3, watch.elapsed()
        log = d.says("rpc_status=CANCELLED", 2)
        eq(len(re.findall("rpc_status=CANCELLED http_route=/v1/chat/completions", log)), 2, log)


@test
def connections_are_counted_with_all_others():
    with Door(limits="{ connections: 3, connections_per_address: 2 }") as d:
        held = [d.socket(), d.socket()]
        for s in held:
            s.sendall(get())
            assert s.recv(4096)
        assert read_all(d.socket()) == b""
        d.says("limits.connections_per_address")
        held[0].close()
        wait_for("room", lambda: d.ask_quietly() == 200, 20)


@test
def workers_share_the_connections():
    with Door(extra="workers: 2\nlog: { access: off }") as d:
        held = [d.socket() for _ in range(40)]
        for s in held:
            s.sendall(get())
            assert s.recv(4096)

        def counts():
            return sorted(w["status"]["connections"] for w in json.loads(d.ctl("status", "--json").stdout)["workers"])
        wait_for("equal shares", lambda: counts()[0] >= 15, 20)
        eq(sum(counts()), 40)


@test
def no_descriptor_is_left():
    with Door(extra="log: { access: off }") as d:
        worker, = d.workers()
        eq(d.ask()[0], 200)
        used = len(os.listdir(f"/proc/{worker}/fd"))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 5, used + 5))
        held, ended = [d.socket() for _ in range(20)], 0
        for s in held:
            with contextlib.suppress(ConnectionResetError):
                s.sendall(get())
                if s.recv(4096):
                    continue
            ended += 1
        assert 10 <= ended < 20, ended
        for s in held:
            s.close()
        wait_for("room", lambda: d.ask_quietly() == 200, 20)


def any_request(chance):
    """Good and bad ones, some of them damaged, cut off or behind each other."""
    if chance.random() < 0.1:
        return get(chance.choice(["/health", "/v1/models", "/nope", "/v1/models/chat"]))
    body = question("x" * chance.choice([1, 5000, 70000]), stream=chance.random() < 0.6,
                    max_tokens=chance.choice([1, 5, 2000]), **({"stop": ["k1"]} if chance.random() < 0.3 else {}))
    body = body.replace('"chat"', f'"{chance.choice(["chat", "slow", "late", "bad", "none"])}"', 1).encode()
    head = (f"POST {CHAT} HTTP/1.{chance.choice('01')}\r\nHost: localhost\r\n"
            + chance.choice(["", "Connection: keep-alive\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n"])).encode()
    if chance.random() < 0.2:
        chunks = (body[i:i + 700] for i in range(0, len(body), 700))
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    raw = bytearray(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    if chance.random() < 0.2:
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw[:chance.randrange(len(raw))] if chance.random() < 0.1 else raw)


def any_client(door, seed, end):
    chance = random.Random(seed)
    while time.monotonic() < end:
        with contextlib.suppress(OSError), door.socket() as s:
            s.settimeout(0.3)
            for _ in range(chance.randrange(1, 6)):
                s.sendall(b"".join(any_request(chance) for _ in range(chance.randrange(1, 4))))
                leaves = chance.randrange(6)
                if leaves == 0:
                    break
                if leaves == 1:
                    s.shutdown(socket.SHUT_WR)
                if leaves == 2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                with contextlib.suppress(TimeoutError):
                    for _ in range(chance.randrange(20)):
                        s.recv(chance.choice([10, 1000, 65536]))


@test
def clients_that_do_anything_at_any_time():
    bricks = (brick().replace("name: chat,", "name: chat, default: true,")
              + brick("slow", "delay: 3ms", more=", match: { x-brick: [s] }, limits: { concurrency: 20, queue: 10 }")
              + brick("late", "delay: 1m", more=", match: { x-brick: [l] }, limits: { timeout: 200ms }")
              + brick("bad", "error_code: 4001, error_every: 2", more=", match: { x-brick: [b] }"))
    seed = random.randrange(1 << 30)
    print(f"# seed {seed}")
    with Door(bricks, http="{ keepalive: 1s }") as d:
        end = time.monotonic() + 2
        clients = [threading.Thread(target=any_client, args=(d, seed + i, end)) for i in range(16)]
        for client in clients:
            client.start()
        time.sleep(1)
        d.ctl("reload", "--wait")
        for client in clients:
            client.join()
        wait_for("the end of all calls", lambda: d.in_flight() == 0, 20)
        eq(d.ask()[0], 200)
        status = json.loads(d.ctl("status", "--json").stdout)
        eq([worker["restarts"] for worker in status["workers"]], [0])
        log = d.whole_log()
        assert "exited with" not in log and "Sanitizer" not in log, log


# --- with gRPC, and going away


@test
def both_doors_share_a_thread():
    """The polling thread may be waiting in either of its sets, and another thread of the core's may wait for it."""
    health = b"\x0a\x00"
    with Door() as d, Bystander(d) as other:
        watching = d.grpc().unary_stream("/grpc.health.v1.Health/Watch")(health)
        next(watching)
        slowest = 0
        for i in range(200):
            if i % 20 == 0:
                time.sleep(0.05)
            watch = Stopwatch()
            eq(d.ask("POST", CHAT, question())[0], 200)
            slowest = max(slowest, watch.elapsed().running)
        watching.cancel()
        assert slowest < 2, slowest
        print(f"# the slowest request {slowest * 1e3:.1f} ms, by gRPC {other.worst * 1e3:.1f} ms")


@test
def a_worker_without_a_port_for_grpc():
    d = Door()
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write("".join(line for line in text.splitlines(True) if "protocol: grpc" not in line))
    with d:
        for _ in range(20):
            eq(d.ask("POST", CHAT, question(stream=True))[0], 200)
            time.sleep(0.02)
        done = subprocess.run(["curl", "-sSN", "-m", "20", "-d", question(stream=True), f"http://{d.address}{CHAT}"],
                              capture_output=True, timeout=30, check=True)
        eq(len(events(done.stdout)), 13, "curl")


@test
def requests_name_their_brick():
    d = Door(brick("one") + brick("two", "error_code: 418") + brick("three"))
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write("".join(line for line in text.splitlines(True) if "protocol: grpc" not in line))
    with d:
        eq([m["id"] for m in json.loads(d.ask()[2])["data"]], ["one", "two", "three"])
        eq([d.ask("POST", CHAT, question(model=m))[0] for m in ("one", "two", "three", "four")], [200, 418, 200, 404])
        for m in ("one", "three"):
            d.says(f"brick={m}")


@test
def unix_sockets():
    d = Door()
    unix = os.path.join(d.dir, "door")
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write(text.replace("bricks:\n", f"  - {{ listen: 'unix:{unix}', protocol: http }}\nbricks:\n", 1))
    with d:
        done = subprocess.run(["curl", "-sS", "-m", "20", "--unix-socket", unix, "http://any.name/v1/models"],
                              capture_output=True, timeout=30, check=True)
        eq(json.loads(done.stdout)["object"], "list")
        d.says(f'peer="unix:uid={os.getuid()}"')


@test
def reloads_lose_nothing():
    with Door(extra="log: { access: off }\ndrain: { retire: 3s }") as d:
        stopping, failed, served = threading.Event(), [], []

        def run():
            client, n = d.client(), 0
            while not stopping.is_set():
                try:
                    status, head, _ = ask(client, "POST", CHAT, question())
                    eq(status, 200)
                    n += 1
                    time.sleep(0.002)
                except Exception as e:  # every kind counts
                    failed.append(repr(e))
                    client.close()
            served.append(n)
            client.close()

        clients = [threading.Thread(target=run) for _ in range(8)]
        for client in clients:
            client.start()
        for _ in range(5):
            d.ctl("reload", "--wait")
        stopping.set()
        for client in clients:
            client.join()
        eq(failed, [])
        print(f"# {sum(served)} requests over 5 reloads")


@test
def a_port_changes_its_protocol():
    with Door(extra="log: { access: off }\ndrain: { retire: 1s }") as d:
        eq(d.ask("POST", CHAT, question())[0], 200)
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("protocol: grpc", "protocol: HTTP").replace("protocol: http", "protocol: grpc").replace("HTTP", "http"))
        d.ctl("reload", "--wait")
        eq(call(d.channel(), UNARY)[1], "OK")
        other = http.client.HTTPConnection("127.0.0.1", d.grpc_port, timeout=20)
        eq(ask(other, "POST", CHAT, question())[0], 200)
        other.close()


@test
def a_stop_lets_streams_end():
    with Door(brick(options="delay: 100ms, tokens: 10")) as d:
        result, idle = [], d.client()
        eq(ask(idle)[0], 200)
        thread = threading.Thread(target=lambda: result.append(d.ask("POST", CHAT, question(stream=True))))
        thread.start()
        wait_for("the call", lambda: d.in_flight() == 1, 20)
        status, took = d.stop()
        thread.join()
        eq((status, result[0][0]), (0, 200))
        eq(events(result[0][2])[-1], "[DONE]")
        assert took.running < 10, took
    with Door(brick(options="delay: 1m"), extra="drain: { grace: 300ms }") as d:
        s = d.socket()
        body = question().encode()
        s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for("the call", lambda: d.in_flight() == 1, 20)
        d.stop()
        answer = read_all(s)
        eq(statuses(answer), [503])
        assert b"Connection: close" in answer


@test
def it_counts():
    with Door(extra="metrics: { listen: '127.0.0.1:0' }") as d:
        address = re.search(r"metrics on (\S+)", d.log())[1]
        eq(d.ask("POST", CHAT, question())[0], 200)
        eq(d.ask(url="/v1/no")[0], 404)
        page = subprocess.run(["curl", "-sS", "-m", "10", f"http://{address}/metrics"], capture_output=True, text=True,
                              timeout=20, check=True).stdout
        lines = [line for line in page.splitlines() if line.startswith("brickd_http_requests_total")]
        port = f'port="{d.address}"'
        for route, status in ((CHAT, 200), ("other", 404)):
            assert any(port in line and f'route="{route}"' in line and f'status="{status}"' in line and line.endswith(" 1")
                       for line in lines), lines


@test
def clients_that_have_said_all_are_answered():
    with Door() as d:
        pid, = d.workers()
        for raw, status in (get(), 200), (b"GARBAGE\r\n\r\n", 400):
            os.kill(pid, signal.SIGSTOP)  # so that the worker meets both at once: what they have said, and the end
            with d.socket() as s:
                s.sendall(raw)
                s.shutdown(socket.SHUT_WR)
                time.sleep(0.05)
                os.kill(pid, signal.SIGCONT)
                eq(statuses(read_all(s)), [status])
        # TLS instead of plain text is a mistake that is told at once.
        watch = Stopwatch()
        eq(statuses(exchange(d, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")), [400])
        assert watch.elapsed().running < 5, watch.elapsed()



main()
