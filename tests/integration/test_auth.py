# SPDX-License-Identifier: MIT
"""Who calls, and what they may: tokens, permissions, rates and concurrency, and a file that changes meanwhile."""
import datetime
import hashlib
import os
import re
import signal
import statistics
import subprocess
import threading
import time
import urllib.request

import grpc

from harness import BUILD, Brickd, Stopwatch, call, eq, free_port, main, path, stream, temp_dir, test, wait_for
from pki import Authority
from standard import standard

UNARY, STREAM, BIDI = path("LLM", "Unary"), path("LLM", "OutputStreaming"), path("Common", "BidiStreaming")
GUARD = path("Guard", "Unary")
HEALTH, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = standard("grpc.reflection.v1.ServerReflectionRequest")(list_services="").SerializeToString()

BRICKS = """
  - { name: chat, module: contract, options: { type: LLM }, default: true }
  - { name: hidden, module: contract, options: { type: LLM }, match: { x-brick: secret } }
  - { name: shield, module: contract, options: { type: Guard } }
  - { name: talk, module: contract, options: { type: Common } }
"""
EVERYTHING = 'allow: ["*"]'


def bearer(token):
    return ("authorization", "Bearer " + token)


def case(name):
    text = b"case:" + name.encode()
    return b"\x12" + bytes([len(text)]) + text


def trailers_of(channel, full, request, token):
    """All of them, also those that share a key, in order."""
    rpc = channel.unary_unary(full).with_call(request, metadata=[bearer(token)], timeout=20)[1]
    return sorted((key, value) for key, value in rpc.trailing_metadata() if key in ("identity", "group"))


def digest(token):
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def entry(name, *lines, token=None):
    """An identity whose token is its name, or the one that is given."""
    return f"  - name: {name}\n    token: {digest(token or name)}\n" + "".join(f"    {line}\n" for line in lines)


class Guarded(Brickd):
    """With identities, as the text of their list."""

    def __init__(self, identities, extra="", bricks=BRICKS, **options):
        super().__init__(bricks, extra="identities: identities.yaml\n" + extra, **options)
        self.identities = os.path.join(self.dir, "identities.yaml")
        self.put(identities)

    def put(self, text, in_place=False):
        target = self.identities if in_place else self.identities + ".new"
        with open(target, "w") as f:
            f.write("identities:\n" + text)
        if not in_place:
            os.rename(target, self.identities)

    def ask(self, token, full=UNARY, request=b"", *metadata, **options):
        return call(self.shared(), full, request, [bearer(token), *metadata] if token else list(metadata), **options)

    def shared(self):
        if not self.channels:
            self.channel()
        return self.channels[0]

    def status(self, *args, **options):
        return self.ask(*args, **options)[1]


def error_of(rpc):
    try:
        for _ in rpc:
            pass
        return "OK", {}
    except grpc.RpcError as e:
        return e.code().name, dict(e.trailing_metadata() or ())


@test
def tokens():
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    with Guarded(entry("web", EVERYTHING) + entry("old", EVERYTHING, f"expires: {past:%Y-%m-%dT%H:%M:%SZ}")
                 + entry("day", EVERYTHING, "expires: 2999-12-31")
                 + f"  - name: two\n    token: [{digest('one')}, {digest('other')}]\n    {EVERYTHING}\n") as d:
        for token in ("web", "day", "one", "other"):
            eq(d.status(token), "OK", token)
        _, status, text, _ = d.ask(None)
        eq((status, text), ("UNAUTHENTICATED", "This call needs the metadata authorization: Bearer TOKEN"))
        eq(d.ask("wrong")[1:3], ("UNAUTHENTICATED", "The token is not known"))
        eq(d.ask("old")[1:3], ("UNAUTHENTICATED", "The identity has expired"))
        for value in ("web", "Basic web", "Bearer", "Bearer ", "Bearer  web", "Bearer web ", "Bearer " + "x" * 5000):
            eq(call(d.shared(), UNARY, b"", [("authorization", value)])[1], "UNAUTHENTICATED", value[:20])
        eq(call(d.shared(), UNARY, b"", [("authorization", "bEARER web")])[1], "OK")
        eq(d.status("web", UNARY, b"", bearer("web")), "UNAUTHENTICATED", "two of them")
        for token, expected in ((None, "UNAUTHENTICATED"), ("web", "UNIMPLEMENTED")):
            eq(d.status(token, "/no.such/Method"), expected)
        replies, status, _ = stream(d.shared(), STREAM, b"", None)
        eq((replies, status), ([], "UNAUTHENTICATED"))
        assert "wrong" not in (log := d.whole_log()) and digest("wrong")[7:] not in log, "a token is in the log"


@test
def permissions():
    with Guarded(entry("chat", "allow: chat") + entry("unary", 'allow: ["chat/Unary", "shield/*"]')
                 + entry("methods", 'allow: "*/Unary"') + entry("none", "allow: []") + entry("all", EVERYTHING)) as d:
        secret, missing = ("x-brick", "secret"), ("x-brick", "missing")
        for token, full, metadata, expected in (
                ("chat", UNARY, (), "OK"), ("chat", STREAM, (), "OK"), ("chat", GUARD, (), "PERMISSION_DENIED"),
                ("chat", UNARY, (secret,), "PERMISSION_DENIED"),
                ("chat", UNARY, (missing,), "PERMISSION_DENIED"),
                ("chat", UNARY, (("x-brick", "chat"),), "OK"),
                ("unary", UNARY, (), "OK"), ("unary", STREAM, (), "PERMISSION_DENIED"), ("unary", GUARD, (), "OK"),
                ("methods", UNARY, (secret,), "OK"), ("methods", UNARY, (missing,), "NOT_FOUND"),
                ("methods", STREAM, (), "PERMISSION_DENIED"), ("methods", STREAM, (missing,), "PERMISSION_DENIED"),
                ("none", UNARY, (), "PERMISSION_DENIED"),
                ("all", STREAM, (secret,), "OK"), ("all", UNARY, (missing,), "NOT_FOUND")):
            rpc = d.shared().unary_stream(full)(b"", metadata=[bearer(token), *metadata], timeout=20)
            eq(error_of(rpc)[0], expected, f"{token} {full} {metadata}")
        # What is there and may not be called looks like what is not there.
        eq(*[d.ask("chat", UNARY, b"", brick)[1:] for brick in (secret, missing)])


@test
def what_bricks_and_the_log_learn():
    with Guarded(entry("web", EVERYTHING) + entry("member", EVERYTHING, "groups: [staff, board@example.org]")) as d:
        eq(d.ask("web", UNARY, case("identity"))[3], {"identity": "web"})
        wait_for("the access line", lambda: "identity=web" in d.log(), 20)
        d.status(None)
        wait_for("the access line", lambda: "UNAUTHENTICATED" in d.log(), 20)
        eq(len(re.findall("identity=", d.log())), 1)
        eq(trailers_of(d.shared(), UNARY, case("identity"), "member"),
           [("group", "board@example.org"), ("group", "staff"), ("identity", "member")])


@test
def what_a_group_may_find():
    """Also through a pipeline, whose call of the other brick has the identity of its own call."""
    folder = temp_dir()
    with open(os.path.join(folder, "lines.jsonl"), "w") as f:
        f.write('{"id": "menu", "text": "soup"}\n{"id": "pay", "text": "salary, soup", "groups": ["staff"]}\n')
    index = os.path.join(folder, "docs.db")
    bricks = os.path.join(BUILD, "src", "bricks")
    subprocess.run([os.path.join(bricks, "retrieval-fts", "brickctl-index"), "--db", index,
                    os.path.join(folder, "lines.jsonl")], check=True, capture_output=True)
    text = f"""
  - {{ name: docs, module: retrieval-fts, options: {{ index: {index} }}, default: true }}
  - {{ name: steps, module: pipeline, match: {{ x-brick: steps }}, options: {{ type: Retrieval, steps: [{{ brick: docs }}] }} }}
"""
    members = entry("web", EVERYTHING) + entry("member", EVERYTHING, "groups: staff")
    with Guarded(members, bricks=text, modules=bricks) as d:
        for metadata in ((), (("x-brick", "steps"),)):
            found = [b"pay" in d.ask(who, path("Retrieval", "Unary"), b"\x0a\x04soup", *metadata)[0]
                     for who in ("web", "member")]
            eq(found, [False, True])
        d.put(entry("web", EVERYTHING, "groups: [others, staff]"))
        wait_for("the new groups", lambda: b"pay" in d.ask("web", path("Retrieval", "Unary"), b"\x0a\x04soup")[0], 20)


@test
def ports():
    """What is not asked for is not needed: health checks, a port that says off, reflection there."""
    off, strict = free_port(), free_port()
    with Guarded(entry("web", EVERYTHING), port_extra=f'  - listen: "127.0.0.1:{off}"\n    authenticate: off\n'
                 f'  - listen: "127.0.0.1:{strict}"\n    authenticate: all') as d:
        eq(d.status(None, HEALTH), "OK")
        eq(d.status(None), "UNAUTHENTICATED")
        for metadata, expected in (([], "UNAUTHENTICATED"), ([bearer("wrong")], "UNAUTHENTICATED"), ([bearer("web")], "OK")):
            rpc = d.shared().stream_stream(REFLECTION)(iter([LIST_SERVICES]), metadata=metadata, timeout=20)
            eq(error_of(rpc)[0], expected, f"reflection {metadata}")
        with grpc.insecure_channel(f"127.0.0.1:{off}") as ch:
            eq(call(ch, UNARY)[1], "OK")
            eq(call(ch, UNARY, case("identity"), [bearer("web")])[3], {"identity": "", "proof": "seen"})
            eq(error_of(ch.stream_stream(REFLECTION)(iter([LIST_SERVICES]), timeout=20))[0], "OK")
        with grpc.insecure_channel(f"127.0.0.1:{strict}") as ch:
            eq(call(ch, HEALTH)[1], "UNAUTHENTICATED")
            eq(call(ch, HEALTH, metadata=[bearer("web")])[1], "OK")
            eq(call(ch, UNARY)[1], "UNAUTHENTICATED")


@test
def a_refusal_counts_once():
    """Also that of a health watch without an identity when there is no room for one either."""
    metrics = f"127.0.0.1:{free_port()}"
    with Guarded(entry("web", EVERYTHING), extra=f"metrics: {{ listen: '{metrics}' }}",
                 port_extra="    authenticate: all\n    limits: { watches: 1 }") as d:
        def rejected():
            with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as reply:
                return {reason: int(n) for reason, n in re.findall(
                    r'^brickd_rejected_total\{.*reason="(\w+)"\} (\d+)$', reply.read().decode(), re.M) if n != "0"}

        ch = d.shared()
        first = ch.unary_stream(WATCH)(b"", metadata=[bearer("web")], timeout=20)
        next(first)
        eq(stream(ch, WATCH)[1], "UNAUTHENTICATED")
        eq(rejected(), {"unauthenticated": 1})
        eq(stream(ch, WATCH, metadata=[bearer("web")])[1], "RESOURCE_EXHAUSTED")
        eq(rejected(), {"unauthenticated": 1, "too_many_streams": 1})
        first.cancel()


@test
def rates():
    with Guarded(entry("slow", EVERYTHING, "rate: 4", "burst: 3") + entry("free", EVERYTHING)) as d:
        start = time.monotonic()
        eq([d.status("slow") for _ in range(3)], ["OK"] * 3)
        _, status, text, trailers = d.ask("slow")
        if time.monotonic() - start < 0.2:
            eq((status, text), ("RESOURCE_EXHAUSTED", "Too many requests at this rate"))
            wait = int(trailers["grpc-retry-pushback-ms"])
            assert 1 <= wait <= 250, wait
            time.sleep(wait / 1000 + 0.002)
            eq(d.status("slow"), "OK", "after the time it was asked to wait")
        eq({d.status("free") for _ in range(50)}, {"OK"})
        passed, watch = 0, Stopwatch()
        while watch.elapsed().running < 1:
            passed += d.status("slow") == "OK"
        taken = watch.elapsed().seconds
        assert 2 <= passed <= 4 * taken + 3, f"{passed} in {taken:.2f} s at 4 a second"


@test
def rates_of_all_workers():
    with Guarded(entry("web", EVERYTHING, "rate: 10", "burst: 20"), extra="workers: 3") as d:
        channels = [d.channel() for _ in range(12)]
        passed, watch = 0, Stopwatch()
        while watch.elapsed().running < 1:
            passed += sum(call(ch, UNARY, b"", [bearer("web")])[1] == "OK" for ch in channels)
        taken = watch.elapsed().seconds
        assert 20 <= passed <= 20 + 10 * taken + 1, f"{passed} in {taken:.2f} s"


class Held:
    """Calls that run until they are let go."""

    def __init__(self, daemon, token, channel=None, full=STREAM):
        self.rpc = (channel or daemon.shared()).unary_stream(full)(
            case("wait"), metadata=[bearer(token)], timeout=30)


@test
def concurrency():
    with Guarded(entry("web", EVERYTHING, "concurrency: 2") + entry("other", EVERYTHING, "concurrency: 1")) as d:
        def run_in_brick():
            return d.log().count("waits, deadline") - d.log().count("was told to give up")

        held = [Held(d, "web") for _ in range(2)]
        wait_for("two calls", lambda: run_in_brick() == 2, 20)
        _, status, text, trailers = d.ask("web")
        eq((status, text, trailers["grpc-retry-pushback-ms"]), ("RESOURCE_EXHAUSTED", "Too many calls at a time", "1000"))
        eq(d.status("other"), "OK")
        held[0].rpc.cancel()
        wait_for("a place", lambda: d.status("web") == "OK", 20)
        # Streams that end by their deadline, by their client's death, or in good order, give theirs back, too.
        eq(call(d.shared(), UNARY, case("wait"), [bearer("web")], timeout=0.3)[1], "DEADLINE_EXCEEDED")
        wait_for("a place", lambda: d.status("web") == "OK", 20)
        with grpc.insecure_channel(d.address, options=[("grpc.use_local_subchannel_pool", 1)]) as ch:
            dead = Held(d, "web", ch)
            wait_for("no place", lambda: d.status("web") == "RESOURCE_EXHAUSTED", 20)
        wait_for("a place", lambda: d.status("web") == "OK", 20)
        assert dead.rpc.done()
        talk = d.shared().stream_stream(BIDI)(iter([b"", case("stop")]), metadata=[bearer("web")], timeout=20)
        eq(error_of(talk)[0], "OK")
        held[1].rpc.cancel()
        wait_for("none left", lambda: run_in_brick() == 0, 20)
        for _ in range(20):
            eq([d.status("web"), d.status("web", GUARD)], ["OK", "OK"])


@test
def concurrency_of_all_workers_and_of_dead_ones():
    with Guarded(entry("web", EVERYTHING, "concurrency: 6"), extra="workers: 2") as d:
        def begin():
            """One more call that runs; None: it may not."""
            before = d.log().count("waits, deadline")
            rpc = d.channel().unary_stream(STREAM)(case("wait"), metadata=[bearer("web")], timeout=30)
            wait_for("its begin", lambda: rpc.done() or d.log().count("waits, deadline") > before)
            return None if rpc.done() else rpc

        def take_all():
            """A place that is not free yet is waited for: its call ends for brickd a little later than for its client."""
            held = [wait_for("a place", begin, 10) for _ in range(6)]
            eq(d.status("web"), "RESOURCE_EXHAUSTED", "a seventh call")
            return held

        held = take_all()
        for pid in d.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for("the end of all", lambda: all(rpc.done() for rpc in held), 20)
        held = take_all()  # after a crash
        for rpc in held:
            rpc.cancel()
        take_all()


def channel_with(daemon, ca, pair=None):
    """A channel of its own, with a client certificate."""
    files = [ca] + ([pair[1], pair[0]] if pair else [])
    credentials = grpc.ssl_channel_credentials(*(open(name, "rb").read() for name in files))
    channel = grpc.secure_channel(daemon.address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
    daemon.channels.append(channel)
    return channel


@test
def certificates():
    folder = temp_dir()
    authority = Authority(os.path.join(folder, "ca"))
    server = authority.issue("server")
    batch = authority.issue("batch", san="URI:spiffe://corp/batch", usage="clientAuth")
    other = authority.issue("other", san="URI:spiffe://corp/other", usage="clientAuth")
    ca = authority.path("ca.pem")

    tls = f"tls: {{ certificate: {server[0]}, key: {{ file: {server[1]} }}, client_ca: {ca}, client_certificate: optional }}"
    with Guarded("  - { name: batch, certificate: 'spiffe://corp/batch', allow: [chat] }\n"
                 + entry("web", EVERYTHING) + entry("odd", EVERYTHING, token="spiffe://corp/other"),
                 port_extra="    " + tls) as d:
        ch = channel_with(d, ca, batch)
        _, status, _, trailers = call(ch, UNARY, case("identity"))
        eq((status, trailers), ("OK", {"identity": "batch"}))
        eq(call(ch, GUARD)[1], "PERMISSION_DENIED")
        # A token says more than the connection that it comes over.
        eq(call(ch, GUARD, case("identity"), [bearer("web")])[3], {"identity": "web"})
        eq(call(ch, UNARY, b"", [bearer("wrong")])[1], "UNAUTHENTICATED")
        eq(call(channel_with(d, ca, other), UNARY)[1], "UNAUTHENTICATED")
        eq(call(channel_with(d, ca), UNARY)[1], "UNAUTHENTICATED")
        eq(call(channel_with(d, ca), UNARY, b"", [bearer("web")])[1], "OK")
        d.put(entry("web", EVERYTHING))
        wait_for("the end of its rights", lambda: call(ch, UNARY)[1] == "UNAUTHENTICATED", 20)


@test
def kinds_of_names_in_certificates():
    folder = temp_dir()
    authority = Authority(os.path.join(folder, "ca"))
    server, ca = authority.issue("server"), authority.path("ca.pem")
    entries = "".join(f"  - {{ name: {name}, certificate: '{certificate}', allow: '*' }}\n" for name, certificate in (
        ("uri", "spiffe://corp/batch"), ("urn", "urn:corp:batch"), ("any", "batch.corp"), ("dns", "DNS:web.corp"),
        ("common", "CN:robot"), ("group", "cn:system:node:a"), ("explicit", "URI:dns:corp")))
    cases = (  # the common name, the alternative names, and who this is
        ("x", "URI:spiffe://corp/batch", "uri"),
        ("spiffe://corp/batch", None, None),
        ("x", "DNS:spiffe://corp/batch", None),
        ("spiffe://corp/batch", "email:a@corp", None),
        ("x", "email:spiffe://corp/batch", None),
        ("x", "URI:spiffe://corp/batch/", None),
        ("x", "URI:SPIFFE://corp/batch", None),
        ("x", "URI:urn:corp:batch", "urn"),
        ("urn:corp:batch", None, None),
        ("x", "DNS:batch.corp", "any"),
        ("batch.corp", None, "any"),
        ("batch.corp", "DNS:other.corp", None),
        ("x", "URI:batch.corp", None),
        ("x", "DNS:*.corp", None),
        ("x", "DNS:BATCH.corp", None),
        ("x", "DNS:web.corp", "dns"),
        ("web.corp", None, None),
        ("robot", None, "common"),
        ("x", "DNS:robot", None),
        ("x", "URI:robot", None),
        ("system:node:a", None, "group"),
        ("x", "URI:system:node:a", None),
        ("x", "URI:dns:corp", "explicit"),
        ("x", "DNS:corp", None),
    )
    tls = f"tls: {{ certificate: {server[0]}, key: {{ file: {server[1]} }}, client_ca: {ca} }}"
    with Guarded(entries, port_extra="    " + tls) as d:
        for i, (common_name, san, who) in enumerate(cases):
            pair = authority.issue(f"c{i}", san=san, common_name=common_name)
            _, status, _, trailers = call(channel_with(d, ca, pair), UNARY, case("identity"))
            eq((common_name, san, status, trailers.get("identity")),
               (common_name, san, "OK" if who else "UNAUTHENTICATED", who))


@test
def a_file_that_changes():
    with Guarded(entry("web", EVERYTHING) + entry("gone", EVERYTHING)) as d:
        running = Held(d, "gone").rpc
        wait_for("the call", lambda: "waits, deadline" in d.log(), 20)
        d.put(entry("web", EVERYTHING, token="fresh") + entry("late", EVERYTHING))
        wait_for("the new token", lambda: d.status("fresh") == "OK", 20)
        eq([d.status(t) for t in ("web", "gone", "late", "fresh")], ["UNAUTHENTICATED"] * 2 + ["OK"] * 2)
        assert not running.done(), "a call that runs goes on"
        d.says("The identities have changed: 2 now")
        d.put(entry("web", "allow: shield", token="fresh"), in_place=True)
        wait_for("fewer rights", lambda: d.status("fresh") == "PERMISSION_DENIED", 20)
        eq((d.status("fresh", GUARD), d.status("late")), ("OK", "UNAUTHENTICATED"))
        eq(len(d.workers()), 1)
        running.cancel()
        assert "Reloaded" not in d.whole_log()


@test
def a_file_that_is_swapped_by_links():
    d = Guarded("")
    for name in ("one", "two"):
        os.mkdir(os.path.join(d.dir, name))
        with open(os.path.join(d.dir, name, "identities.yaml"), "w") as f:
            f.write("identities:\n" + entry("web", EVERYTHING, token=name))
    os.symlink("one", os.path.join(d.dir, "data"))
    os.unlink(d.identities)
    os.symlink("data/identities.yaml", d.identities)
    with d:
        eq((d.status("one"), d.status("two")), ("OK", "UNAUTHENTICATED"))
        os.symlink("two", os.path.join(d.dir, "next"))
        os.rename(os.path.join(d.dir, "next"), os.path.join(d.dir, "data"))
        wait_for("the other file", lambda: d.status("two") == "OK", 20)
        eq(d.status("one"), "UNAUTHENTICATED")


@test
def a_file_that_breaks():
    with Guarded(entry("web", EVERYTHING), extra="workers: 2") as d:
        def says(text):
            wait_for(text, lambda: text in d.log(), 20)

        d.put(entry("web", EVERYTHING, "rait: 5", token="fresh") + "  - name: bad\n    token: plain-secret\n    allow: []\n")
        says('identities.yaml:5:5: identities[0].rait: unknown key; did you mean "rate"?')
        says("The identities cannot be read; those read before stay in force")
        eq((d.status("web"), d.status("fresh")), ("OK", "UNAUTHENTICATED"))
        time.sleep(1.1)  # time to say it again
        # A worker that is started again gets what was good.
        for pid in d.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for("a new worker", lambda: d.status("web") == "OK", 20)
        # A reload is for the file as it is.
        reload = d.ctl("reload", check=False)
        eq(reload.returncode, 78)
        assert "identities[0].rait" in reload.stderr, reload.stderr
        os.chmod(d.identities, 0o666)
        writable = "identities.yaml: is writable by users other than its owner; run chmod go-w"
        eq(d.says(writable).partition(writable)[0].count("stay in force"), 1)
        d.put(entry("web", EVERYTHING, token="fresh"))
        wait_for("the new token", lambda: d.status("fresh") == "OK", 20)
        os.unlink(d.identities)
        says("identities.yaml: No such file or directory")
        eq(d.status("fresh"), "OK")
        assert "plain-secret" not in d.whole_log(), "what may be a token is in the log"


@test
def at_the_start():
    """Mistakes of both files, and of the modules' options, come in one run."""
    d = Guarded(entry("web", EVERYTHING) + entry("web", "allow: 5!"))
    d.write(BRICKS.replace("type: Guard", "tipe: Guard"))
    check = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--check", d.config], env=d.env,
                           capture_output=True, text=True, timeout=30)
    eq(check.returncode, 78)
    for text in ("identities.yaml:5:11: identities[1].name: another identity has this name; see line 2",
                 "identities.yaml:6:12: identities[1].token: another identity has this token; see line 3",
                 "identities.yaml:7:12: identities[1].allow[0]: expected BRICK or BRICK/METHOD",
                 "bricks[2].options.tipe: unknown key"):
        assert text in check.stderr, (text, check.stderr)
    os.rename(d.identities, d.identities + ".away")
    check = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--check", d.config], env=d.env,
                           capture_output=True, text=True, timeout=30)
    eq(check.returncode, 78)
    for text in ("identities.yaml: No such file or directory", "bricks[2].options.tipe: unknown key"):
        assert check.stderr.count(text) == 1, (text, check.stderr)
    d.write(BRICKS)
    d.put(entry("web", "allow: [chta, chat]"))
    with d:
        wait_for("a warning", lambda: 'identities[0].allow[0]: no brick has the name "chta"; did you mean "chat"?'
                 in d.log(), 20)
        eq(d.status("web"), "OK")


@test
def a_reload_keeps_the_counts():
    with Guarded(entry("web", EVERYTHING, "concurrency: 1", "rate: 0.01", "burst: 2")) as d:
        held = Held(d, "web").rpc
        wait_for("the call", lambda: "waits, deadline" in d.log(), 20)
        d.ctl("reload")
        with grpc.insecure_channel(d.address, options=[("grpc.use_local_subchannel_pool", 1)]) as ch:
            eq(call(ch, UNARY, b"", [bearer("web")])[1:3], ("RESOURCE_EXHAUSTED", "Too many calls at a time"))
            eq(call(ch, UNARY, b"", [bearer("web")])[1:3], ("RESOURCE_EXHAUSTED", "Too many requests at this rate"))
        held.cancel()


@test
def guessing():
    """Whoever guesses is answered, and slows nobody."""
    with Guarded(entry("web", EVERYTHING), extra="log: { access: off }") as d:
        def median():
            times = []
            for _ in range(300):
                start = time.monotonic()
                eq(d.status("web"), "OK")
                times.append(time.monotonic() - start)
            return statistics.median(times)

        def guess(results):
            ch, done = d.channel(), 0
            while not over.is_set():
                done += call(ch, UNARY, b"", [bearer(f"guess{done}")])[1] == "UNAUTHENTICATED"
            results.append(done)

        alone, over, results = median(), threading.Event(), []
        thread = threading.Thread(target=guess, args=(results,))
        thread.start()
        time.sleep(1)
        beside = median()
        over.set()
        thread.join()
        print(f"# {results[0]} guesses; a call takes {alone * 1e6:.0f} us alone, {beside * 1e6:.0f} us beside them")
        assert results[0] > 100, results
        assert beside < alone * 10 + 0.01, (alone, beside)


@test
def programs_that_a_brick_runs_inherit_nothing():
    with Guarded(entry("web", EVERYTHING)) as d:
        eq(d.status("web"), "OK")  # there is a connection
        for worker in d.workers():
            for fd in os.listdir(f"/proc/{worker}/fdinfo"):
                with open(f"/proc/{worker}/fdinfo/{fd}") as f:
                    flags = int(next(line for line in f if line.startswith("flags:")).split()[1], 8)
                if int(fd) > 2:
                    assert flags & os.O_CLOEXEC, (fd, os.readlink(f"/proc/{worker}/fd/{fd}"))


@test
def brickctl():
    with Guarded(entry("web", EVERYTHING)) as d:
        token = d.ctl("token", "new", "ci", "--allow", "chat/Unary", "--allow", "shield", "--expires", "90d").stdout.strip()
        assert re.fullmatch(r"brickd_[A-Za-z0-9_-]{43}", token), token
        wait_for("the token", lambda: d.status(token) == "OK", 20)
        eq((d.status(token, GUARD), d.status(token, STREAM)), ("OK", "PERMISSION_DENIED"))
        with open(d.identities) as f:
            text = f.read()
        assert token not in text and digest(token) in text and text.startswith("identities:\n  - name: web\n"), text
        again = d.ctl("token", "new", "ci", check=False)
        eq((again.returncode, again.stdout), (1, ""))
        assert "already has the identity 'ci' on line 5" in again.stderr, again.stderr

        d.env["BRICKD_TOKEN"] = token
        eq(d.ctl("call", "chat", '{"prompt": "case:ok"}').returncode, 0)
        d.env["BRICKD_TOKEN"] = "wrong"
        wrong = d.ctl("call", "chat", '{"prompt": "case:ok"}', check=False)
        eq(wrong.returncode, 2)
        assert "UNAUTHENTICATED: The token is not known" in wrong.stderr, wrong.stderr
        key = os.path.join(d.dir, "token")
        with open(key, "w") as f:
            f.write(token + "\n")
        os.chmod(key, 0o644)
        open_to_all = d.ctl("call", "--token-file", key, "chat", '{"prompt": "case:ok"}', check=False)
        assert "every user of this machine can read it" in open_to_all.stderr, open_to_all.stderr
        os.chmod(key, 0o600)
        eq(d.ctl("call", "--token-file", key, "chat", '{"prompt": "case:ok"}').returncode, 0)

        shown = d.ctl("token", "new", "other", "--file", "-", "--expires", "2027-01-31",
                      "--group", "staff", "--group", "sales@example.org", "--tokens", "20M/month", "--tokens", "10k/minute")
        eq(shown.stdout.replace(digest(shown.stderr.strip()), "DIGEST"),
           "  - name: other\n    token: DIGEST\n    expires: 2027-01-31\n    allow: []\n"
           "    groups: [\"staff\", \"sales@example.org\"]\n"
           "    tokens: { month: 20M, minute: 10k }\n")
        fresh = os.path.join(d.dir, "fresh.yaml")
        threads = [threading.Thread(target=d.ctl, args=("token", "new", f"n{i}", "--file", fresh)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        with open(fresh) as f:
            eq(len(re.findall("- name: n", f.read())), 8)
        with open(fresh, "w") as f:
            f.write("# nobody yet\nidentities: []\n")
        refused = d.ctl("token", "new", "x", "--file", fresh, check=False)
        assert refused.returncode == 1 and "has an empty list; remove the key" in refused.stderr, refused.stderr
        for arguments, message in ((("no name",), "identities[0].name: expected a name"),
                                   (("x", "--allow", "Not/This"), "expected BRICK or BRICK/METHOD"),
                                   (("x", "--tokens", "10k"), "--tokens: expected a number and a window, such as"),
                                   (("x", "--tokens", "10k/hour"), "--tokens: expected a number and a window, such as"),
                                   (("x", "--tokens", "10k }\n    allow: ['*'] #/day"), "--tokens: expected a number and a window"),
                                   (("x", "--tokens", "1/day", "--tokens", "2/day"), "--tokens: two numbers for a day"),
                                   (("x", "--tokens", "11G/day"), "tokens.day: must be from 1 to 10G tokens"),
                                   (("x", "--expires", "soon"), "--expires: expected a duration (90d), a date"),
                                   (("x", "--group", "no group"), "identities[0].groups[0]: expected a name"),
                                   (("x", "--group", 'staff", "board'), "identities[0].groups[0]: expected a name"),
                                   # what is given as one value is one value
                                   (("x", "--allow", 'chat", "*'), "expected BRICK or BRICK/METHOD"),
                                   (("x", "--allow", "chat\\"), "expected BRICK or BRICK/METHOD"),
                                   (("x", "--allow", "chat\n"), "expected BRICK or BRICK/METHOD"),
                                   (('x\n    allow: ["*"]\n  - name: y',), "expected a name"),
                                   (("x # no",), "expected a name"), (("null", "--allow", "a b"), "allow"),
                                   (("x", "--expires", "2027-01-31\n    allow: ['*']"), "--expires: expected a duration (90d), a date")):
            refused = d.ctl("token", "new", *arguments, "--file", "-", check=False)
            assert refused.returncode and message in refused.stderr, refused.stderr


main()
