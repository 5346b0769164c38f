# SPDX-License-Identifier: MIT
"""Token budgets of identities: what counts, who is refused and what they are told, and what outlives a worker and brickd."""
import contextlib
import datetime
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import urllib.request

import grpc

from harness import BUILD, Brickd, call, eq, free_port, generate_stubs, main, path, stream, test, wait_for

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

UNARY, STREAM, INFO = path("LLM", "Unary"), path("LLM", "OutputStreaming"), path("LLM", "GetServiceInfo")
GUARD = path("Guard", "Unary")
CHAT = "/v1/chat/completions"
BRICKS = f"""
  - {{ name: chat, module: contract, options: {{ type: LLM }}, default: true }}
  - {{ name: shield, module: contract, options: {{ type: Guard }}, default: true }}
  - {{ name: app, module: {BUILD}/src/bricks/pipeline.so, options: {{ type: LLM, steps: [{{ brick: chat }}, {{ brick: chat }}] }}, match: {{ x-brick: app }} }}
  - {{ name: guard, module: {BUILD}/src/bricks/pipeline.so, options: {{ type: Guard, steps: [{{ brick: shield }}, {{ brick: shield }}] }}, match: {{ x-brick: guard }} }}
"""


def ask(prompt, max_tokens=0, **more):
    return llm_pb2.LLMRequest(prompt=prompt, max_tokens=max_tokens, **more).SerializeToString()


def used(total):
    """What makes the brick of `case:metadata` report so many tokens."""
    return [("x-usage-prompt-tokens", "1"), ("x-usage-completion-tokens", str(total - 1)), ("x-usage-total-tokens", str(total))]


def bearer(name):
    return [("authorization", "Bearer " + name)]


class Budgets(Brickd):
    """Two workers, a port for gRPC and one for HTTP. An identity's token is its name."""

    def __init__(self, **budgets):
        self.http, self.metrics = free_port(), free_port()
        super().__init__(BRICKS, port_extra=f'  - {{ listen: "127.0.0.1:{self.http}", protocol: http }}')
        self.state, self.identities = os.path.join(self.dir, "state"), os.path.join(self.dir, "identities.yaml")
        self.extra = (f"workers: 2\nidentities: {self.identities}\nstate: {self.state}\n"
                      f'metrics: {{ listen: "127.0.0.1:{self.metrics}" }}')
        self.write(BRICKS)
        self.budgets = budgets
        self.put()

    def put(self, **more):
        self.budgets |= more
        with open(self.identities + ".new", "w") as f:
            f.write("identities:\n")
            for name, tokens in self.budgets.items():
                f.write(f"  - name: {name}\n    token: sha256:{hashlib.sha256(name.encode()).hexdigest()}\n    allow: '*'\n"
                        + (f"    {'rate' if 'burst' in tokens else 'tokens'}: {tokens}\n" if tokens else ""))
        os.rename(self.identities + ".new", self.identities)

    def keeps(self, tokens):
        file = os.path.join(self.state, "budgets")
        wait_for("the journal", lambda: os.path.exists(file) and f" {tokens} " in journal(self))

    def again(self):
        os.unlink(self.log_path)
        return self.start()

    def call(self, name, request, metadata=(), full=UNARY, channel=None):
        if not self.channels:
            self.channel()
        return call(channel or self.channels[0], full, request, bearer(name) + list(metadata))

    def spend(self, name, total):
        """A call that reserves one token and its request, and uses so many. Its status."""
        return self.call(name, ask("case:metadata", 1), used(total))[1]

    def post(self, name, prompt, fields=(), **more):
        """(status, fields, error) of a request to the port for HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", CHAT, json.dumps({"model": "chat", "messages": [{"role": "user", "content": prompt}]} | more),
                               dict([("Authorization", "Bearer " + name), *fields]))
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, answer.headers, None if body.startswith(b"data:") else json.loads(body).get("error")

    def tokens(self, name):
        identities = json.loads(self.ctl("identities", "--json").stdout)
        return next(identity["tokens"] for identity in identities if identity["name"] == name)

    def used(self, name, window="day"):
        return next(w["used"] for w in self.tokens(name)["windows"] if w["window"] == window)

    def metric(self, text):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20) as reply:
            found = re.search("^" + re.escape(text) + r" (\d+)$", reply.read().decode(), re.M)
        return int(found[1]) if found else None

    def wait_until_free(self, name):
        wait_for("the reservation's end", lambda: self.tokens(name)["reserved"] == 0)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def until(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@test
def what_counts():
    with Budgets(web="{ day: 100k, month: 2M }", free="") as d:
        # What the brick says, by either protocol, unary and streaming.
        eq(d.spend("web", 100), "OK")
        eq(d.post("web", "case:metadata", used(50))[0], 200)
        eq(stream(d.channels[0], STREAM, ask("case:metadata"), bearer("web") + used(7))[1], "OK")
        eq(d.used("web"), 157)
        # If it does not say: a token for four bytes of request and of text.
        request = ask("case:ok " + "x" * 91, 5)
        reply = llm_pb2.LLMResponse.FromString(d.call("web", request)[0])
        estimate = -(-(len(request) + len(reply.text)) // 4)
        eq(d.used("web"), 157 + estimate)
        # A call that fails without a word, other types and what is no call to a model cost nothing.
        for failing in "case:fail", "case:errno", "case:garbage":
            d.call("web", ask(failing))
        d.call("web", b"", full=INFO)
        d.call("web", b"\n\x07case:ok", full=GUARD)
        d.call("web", ask("x"), [("x-brick", "none")])
        eq((d.used("web"), d.used("web", "month"), d.tokens("web")["reserved"]), (157 + estimate,) * 2 + (0,))
        # What the bricks use that a brick calls counts, whether their trailers become its own or not.
        before = d.used("web")
        told = used(1000) + [("x-case", "case:metadata")]
        eq(d.call("web", ask("two models"), told + [("x-brick", "app")])[1], "OK")
        eq(d.used("web") - before, 2000)
        eq(d.call("web", b"\n\x01x", told + [("x-brick", "guard")], full=GUARD)[1], "OK")
        eq(d.used("web") - before, 3000)
        estimate += 3000
        # Who has no budget is not counted.
        eq(d.spend("free", 100), "OK")
        eq(d.tokens("free"), None)
        eq([d.metric('brickd_identity_tokens_total{identity="%s"}' % name) for name in ("web", "free")], [157 + estimate, None])
        eq([d.metric('brickd_identity_tokens_%s{identity="web",window="day"}' % what) for what in ("used", "limit")],
           [157 + estimate, 100000])
        eq(d.metric('brickd_identity_tokens_reserved{identity="web"}'), 0)
        table = [line.split() for line in d.ctl("identities").stdout.splitlines()]
        eq(table[0], "NAME CALLS EXPIRES TOKENS USED RESERVED LEFT LIMIT UNTIL".split())
        eq([row[0] for row in table[1:]], ["web", "web", "free"])
        eq(table[1][2:8], ["-", "day", str(157 + estimate), "0", str(100000 - 157 - estimate), "100000"])
        eq(table[3][2:], ["-"] * 7)


@test
def who_is_refused():
    with Budgets(day="{ day: 1000, month: 5000 }", minute="{ minute: 1000, reserve: 10 }",
                 rated="0.5\n    burst: 2") as d:
        eq(d.spend("day", 900), "OK")
        # Another call fits only if it says that it needs little.
        _, status, text, trailers = d.call("day", ask("case:ok", 200))
        eq(status, "RESOURCE_EXHAUSTED")
        assert re.fullmatch(r"This call reserves 203 tokens, and 100 of 1000 are left in this day, which ends at \S+T00:00:00Z", text), text
        assert "grpc-retry-pushback-ms" not in trailers, trailers
        eq(d.call("day", ask("case:metadata", 50), used(20))[1], "OK")
        d.wait_until_free("day")
        # A day is long: libraries are told not to try again.
        status, fields, error = d.post("day", "case:ok", max_tokens=200)
        eq((status, error["type"], error["code"], fields["x-should-retry"]), (429, "rate_limit_error", "insufficient_quota", "false"))
        eq((fields["x-ratelimit-limit-tokens"], fields["x-ratelimit-remaining-tokens"]), ("1000", "80"))
        assert re.fullmatch(r"(\d+h)?\d+m\d+s", fields["x-ratelimit-reset-tokens"]), fields
        assert 0 < int(fields["retry-after"]) <= 86400, fields
        eq(d.post("day", "case:three", max_tokens=200, stream=True)[0], 429)
        # Who is served learns the same: of the window that has the fewest tokens left, and of the rate.
        status, fields, _ = d.post("day", "case:ok", max_tokens=10)
        eq((status, fields["x-ratelimit-limit-tokens"]), (200, "1000"))
        left = int(fields["x-ratelimit-remaining-tokens"])
        assert 40 < left < 80 - 10, fields
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", fields["x-ratelimit-reset-tokens"]), fields
        d.spend("day", 2)
        d.wait_until_free("day")
        assert left > int(d.post("day", "case:three", max_tokens=10, stream=True)[1]["x-ratelimit-remaining-tokens"]) > 0
        assert "x-ratelimit-limit-requests" not in fields
        rated = d.post("rated", "case:ok")[1]
        eq([rated[f"x-ratelimit-{what}"] for what in ("limit-requests", "remaining-requests", "limit-tokens")], ["2", "1", None])
        assert re.fullmatch(r"\d+(ms|s)", rated["x-ratelimit-reset-requests"]), rated
        status, rated, _ = wait_for("a refusal", lambda: (r := d.post("rated", "case:ok"))[0] == 429 and r)
        eq(rated["x-ratelimit-remaining-requests"], "0")
        # More than the limit never helps.
        status, fields, error = d.post("day", "case:ok", max_tokens=1000)
        eq((status, error["code"], fields["retry-after"], fields["x-ratelimit-reset-tokens"]), (429, "insufficient_quota", None, None))
        assert "ask for less with max_tokens" in error["message"], error
        # A minute is short. What is used may pass the limit, and the next call waits for the next minute.
        def exhaust():
            d.spend("minute", 2000)
            return d.call("minute", ask("case:ok"))[1:]
        status, text, trailers = wait_for("a refusal", lambda: (r := exhaust())[0] != "OK" and r)
        eq(status, "RESOURCE_EXHAUSTED")
        assert 0 < int(trailers["grpc-retry-pushback-ms"]) <= 60000, trailers
        def asked():
            d.spend("minute", 2000)
            return d.post("minute", "case:ok")
        status, fields, error = wait_for("a refusal", lambda: (r := asked())[0] != 200 and r)
        eq((status, error["code"], fields["x-should-retry"]), (429, "rate_limit_exceeded", None))
        assert fields["retry-after-ms"] and 0 < int(fields["retry-after"]) <= 60, fields
        assert d.metric('brickd_rejected_total{port="127.0.0.1:%d",reason="tokens"}' % d.port) >= 2
        # A changed limit counts for the next call.
        d.put(day="{ day: 1500 }")
        wait_for("the new limit", lambda: d.call("day", ask("case:ok", 200))[1] == "OK")


def hang_up(sock):
    with contextlib.suppress(OSError):  # its peer may have been killed
        sock.shutdown(socket.SHUT_RDWR)


def hold(d, name, admitted, refused, number, barrier):
    """A call that its brick holds until it is cancelled. Adds how to cancel it, or its end."""
    if number % 2:
        rpc = d.channel().unary_unary(UNARY)
        barrier.wait()
        future = rpc.future(ask("case:wait", 96), metadata=bearer(name), timeout=60)
        admitted.append(future.cancel)
        try:
            future.result()
        except grpc.RpcError as e:
            refused.append(e.code().name)
        except grpc.FutureCancelledError:
            pass
        return
    connection = http.client.HTTPConnection("127.0.0.1", d.http, timeout=60)
    connection.connect()
    barrier.wait()
    admitted.append(lambda sock=connection.sock: hang_up(sock))
    connection.request("POST", CHAT, json.dumps({"model": "chat", "max_tokens": 96, "messages": [{"role": "user", "content": "case:wait"}]}),
                       {"Authorization": "Bearer " + name})
    with contextlib.suppress(http.client.HTTPException, OSError):
        refused.append(connection.getresponse().status)


@contextlib.contextmanager
def held(d, name, n):
    """n calls at once, half of them by each protocol. Gives how many were admitted, once the others have ended."""
    cancels, refused, barrier = [], [], threading.Barrier(n)
    threads = [threading.Thread(target=hold, args=(d, name, cancels, refused, i, barrier)) for i in range(n)]
    for t in threads:
        t.start()
    def running():
        status = json.loads(d.ctl("status", "--json").stdout)
        return sum(brick["in_flight"] for brick in status["bricks"])
    wait_for("the ends of those that are refused", lambda: len(refused) + running() == n)
    eq(set(refused) - {429, "RESOURCE_EXHAUSTED"}, set())
    yield n - len(refused)
    for cancel in cancels:
        cancel()
    for t in threads:
        t.join(20)
    d.wait_until_free(name)


@test
def many_at_once_and_what_becomes_of_them():
    with Budgets(web="{ day: 1000 }") as d:
        assert len(d.workers()) == 2
        each = 99
        with held(d, "web", 64) as admitted:
            assert 1 <= admitted <= 10, admitted
            reserved = d.tokens("web")["reserved"]
            assert 99 * admitted <= reserved <= 110 * admitted and reserved <= 1000, (admitted, reserved)
            # Those that reserve may not use it all.
            _, status, text, trailers = d.call("web", ask("case:ok", 950))
            eq((status, trailers["grpc-retry-pushback-ms"]), ("RESOURCE_EXHAUSTED", "1000"))
            assert "while other calls reserve" in text, text
        # What was cancelled has cost its request.
        before = d.used("web")
        assert admitted <= before <= 20 * admitted, (admitted, before)
        # A worker that dies takes its reservations with it.
        with held(d, "web", 4) as admitted:
            assert admitted >= 1
            for pid in d.workers():
                os.kill(pid, signal.SIGKILL)
            wait_for("new workers", lambda: d.metric("brickd_worker_restarts_total") == 2)
            d.wait_until_free("web")
        eq(d.used("web"), before)
        # In the end no more is admitted than there is.
        d.put(web="{ day: %d }" % (before + 10 * each))
        wait_for("the limit", lambda: d.tokens("web")["windows"][0]["limit"] == before + 10 * each)
        d.channels[0].close()
        d.channels[0] = d.channel()
        answers = [d.call("web", ask("case:metadata", each - 5), used(each))[1] for _ in range(12)]
        eq(answers, ["OK"] * 10 + ["RESOURCE_EXHAUSTED"] * 2)


@contextlib.contextmanager
def clients_first(d):
    """One processor for all; brickd has it while its clients wait, and goes on later than a client that it has answered."""
    def tasks(pid):
        return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]
    before = os.sched_getaffinity(0)
    for tid in [tid for pid in d.workers() for tid in tasks(pid)]:
        os.sched_setscheduler(tid, os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(tid, {min(before)})
    for tid in tasks("self"):
        os.sched_setaffinity(tid, {min(before)})
    try:
        yield
    finally:
        for tid in tasks("self"):
            os.sched_setaffinity(tid, before)


@test
def an_answered_call_holds_nothing():
    with Budgets(one="{ day: 100M }\n    concurrency: 1", budget="{ day: %d }" % (200 * 99)) as d:
        channels = [d.channel() for _ in range(8)]  # of both workers
        with clients_first(d):
            for i in range(100):
                eq(d.call("one", ask("case:ok"), channel=channels[i % 8])[1], "OK")
                eq(d.post("one", "case:ok")[0], 200)
                eq(d.post("one", "case:three", stream=True)[0], 200)
            for i in range(200):
                eq(d.call("budget", ask("case:metadata", 94), used(99), channel=channels[i % 8])[1], "OK", i)
        eq(d.call("budget", ask("case:ok"))[1], "RESOURCE_EXHAUSTED")


def journal(d):
    with open(os.path.join(d.state, "budgets")) as f:
        return f.read()


@test
def what_outlives_brickd():
    with Budgets(web="{ day: 1000, month: 10k }", other="{ month: 100k }") as d:
        eq(d.spend("web", 900), "OK")
        eq(d.spend("other", 5), "OK")
        d.keeps(900)
        # A reload, to another directory, and what the old workers still count.
        d.extra, d.state = d.extra.replace(d.state, d.state + "2"), d.state + "2"
        d.write(BRICKS)
        d.ctl("reload")
        d.keeps(900)
        eq(d.used("web"), 900)
        eq(d.spend("web", 10), "OK")
        d.channels.pop().close()
        eq(d.spend("web", 20), "OK")
        # An end in good order loses nothing, and a kill what the last second has counted.
        eq(d.stop()[0], 0)
        assert re.fullmatch(r"brickd-budgets 1\nweb \d+ \d+ \d+ 930 \d+ 930\nother \d+ \d+ \d+ 5 \d+ 5\nend 2\n", journal(d)), journal(d)
        eq(oct(os.stat(os.path.join(d.state, "budgets")).st_mode & 0o777), "0o600")
        d.channels.pop().close()
        d.again()
        eq((d.used("web"), d.used("other", "month")), (930, 5))
        eq(d.call("web", ask("case:ok", 100))[1], "RESOURCE_EXHAUSTED")
        eq(d.spend("web", 40), "OK")
        d.keeps(970)
        workers = d.workers()
        d.stop(signal.SIGKILL)
        wait_for("the workers' end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
        d.channels.pop().close()
        d.again()
        eq(d.used("web"), 970)
        end = until(d.tokens("web")["windows"][0]["until"])
        assert end.hour == end.minute == end.second == 0 and end > now(), end


@test
def a_journal_that_is_not_one():
    with Budgets(web="{ day: 1000 }") as d:
        eq(d.spend("web", 100), "OK")
        d.stop()
        file, good = os.path.join(d.state, "budgets"), journal(d)
        def put(text):
            def write():
                with open(file, "w") as f:
                    f.write(text)
            return write
        def link():
            os.rename(file, file + ".other")
            os.symlink(file + ".other", file)
        for make, mistake in ((put(good[:-5]), f"{file}:3: the end is missing"),
                              (put(good.replace("web ", "web x")), f"{file}:2: expected a name, and the number"),
                              (put(""), f'{file}:1: expected "brickd-budgets 1"'),
                              (put("x" * 1000000), f"{file}: is too large"),
                              (lambda: os.mkfifo(file), f"{file}: is not a regular file"),
                              (link, f"{file}: is a symbolic link"),
                              (lambda: os.chmod(file, 0o666), f"{file}: is writable by users other than its owner")):
            if make is not link and os.path.lexists(file) and "chmod" not in make.__code__.co_names:
                os.unlink(file)
            make()
            d.channels.clear()
            d.again()
            d.says(mistake)
            d.says("the token budgets of identities start anew")
            eq(d.used("web"), 0, mistake)
            eq(d.spend("web", 3), "OK")
            d.channels.pop().close()
            d.stop()
            assert os.path.isfile(file) and not os.path.islink(file), mistake
            assert " 3 " in journal(d), (mistake, journal(d))
        # Without a place to keep it, brickd serves on and says so once.
        os.unlink(file)
        os.mkdir(file)
        d.again()
        d.says(f"Cannot write {file}: Is a directory")
        eq(d.spend("web", 100), "OK")
        d.stop()
        eq(d.log().count("Cannot write"), 1)


if __name__ == "__main__":
    main()
