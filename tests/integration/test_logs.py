# SPDX-License-Identifier: MIT
"""What brickd logs of calls and bricks, at which level, and that nobody waits for the log."""
import fcntl
import json

import http2
from harness import *

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

ACCESS = "97def942b4204e32abc325725bf7774c"
SLOW = re.search('LOG_ID_CALL_SLOW "(.*)"', open(os.path.join(SOURCE, "src/util/log.h")).read())[1]
UNARY = path("LLM", "Unary")
STREAM = path("LLM", "OutputStreaming")
CHECK = "/grpc.health.v1.Health/Check"
CONTRACT = "  - { name: chat, module: contract, options: { type: LLM } }\n"
TWO = CONTRACT.replace("} }", "}, default: true }") + \
    "  - { name: quiet, module: contract, options: { type: LLM }, match: { x-brick: quiet }," \
    " log_level: error }\n"
ECHO = "  - { name: chat, module: echo, options: { type: LLM, delay: 300ms }, limits: { concurrency: 1 } }\n"


def request(what="case:ok", **fields):
    return llm_pb2.LLMRequest(prompt=what, **fields).SerializeToString()


def lines(text):
    """Every line is a JSON object of strings, with the fields that all have."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert all(isinstance(value, str) for value in line.values()), line
        assert {"time", "level", "message"} <= line.keys(), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]), line
    return found


def lines_of(text, message_id):
    return [line for line in lines(text) if line.get("message_id") == message_id]


def wait_lines(daemon, count, message_id):
    """The lines with this message_id, once there are so many."""
    found = wait_for(f"{count} lines", lambda: len(found := lines_of(daemon.log(), message_id)) >= count and found)
    eq(len(found), count, "lines")
    return found


def json_log(more=""):
    return f"log: {{ format: json {more} }}"


@test
def a_call_has_a_line():
    with Brickd(CONTRACT, json_log()) as d:
        channel = d.channel()
        call(channel, UNARY, request(request_id="r1", session_id="s1", client_id="c1"))
        line, = wait_lines(d, 1, message_id=ACCESS)
        eq({k: line[k] for k in ("level", "rpc_method", "rpc_status", "brick", "brick_type",
                                 "brick_error_code", "request_id", "session_id", "client_id")},
           {"level": "info", "rpc_method": UNARY, "rpc_status": "OK", "brick": "chat", "brick_type": "LLM",
            "brick_error_code": "200", "request_id": "r1", "session_id": "s1", "client_id": "c1"})
        assert int(line["duration_usec"]) < 5_000_000 and line["peer"].startswith("ipv4:127.0.0.1:"), line
        assert re.fullmatch(r"chat Unary OK in \d+\.\d{3} ms", line["message"]), line
        call(channel, UNARY, request("case:fail-negative"))
        call(channel, UNARY, request("case:status"))
        call(channel, "/nobody/Knows")
        call(channel, CHECK)
        found = wait_lines(d, 5, message_id=ACCESS)[1:]
        eq([re.sub(r" in \d+\.\d{3} ms$", "", l["message"]) for l in found],
           ["chat Unary OK error -5", "chat Unary FAILED_PRECONDITION", "- unknown method UNIMPLEMENTED",
            "- health Check OK"])
        eq([l.get("brick_error_code") for l in found], ["-5", None, None, None])
        eq(len(lines_of(d.whole_log(), ACCESS)), 5)


@test
def every_line_has_a_request_id():
    with Brickd(CONTRACT, json_log()) as d:
        channel = d.channel()

        def logged(message_id, header, full=UNARY):
            call(channel, full, request(request_id=message_id) if full == UNARY else b"",
                 [("x-request-id", value) for value in header])
            logged.count += 1
            return wait_lines(d, logged.count, message_id=ACCESS)[-1]["request_id"]

        logged.count = 0
        made = re.compile("[0-9a-f]{16}")
        eq(logged("mine", ["other"]), "mine")
        eq(logged("", ["from~metadata!"]), "from~metadata!")
        eq(logged("", ["from-metadata"], CHECK), "from-metadata")
        eq(logged("", ["x" * 500]), "x" * 128)
        eq(logged("é" * 100, []), "é" * 64)
        eq(logged("a\x1b[31m\nb", []), "a\x1b[31m\nb")  # as JSON it is harmless
        ids = [logged("", []), logged("", []), logged("", ["not a word"]), logged("", [], CHECK),
               logged("", [], "/nobody/Knows")]
        assert all(made.fullmatch(i) for i in ids) and len(set(ids)) == len(ids), ids


@test
def bad_bytes_make_good_lines():
    with Brickd(CONTRACT, json_log(", level: debug")) as d:
        call(d.channel(), UNARY, request("case:log"))
        wait_lines(d, 1, message_id=ACCESS)
        said = [l for l in lines(d.log()) if "said at" in l["message"]]
        eq([l["level"] for l in said], ["error", "warning", "notice", "info", "debug"])
        eq(said[0]["message"], 'chat: said at 3 "\ufffd\ufffd\x1b[31m\\\r\nforged')
        eq(said[0]["brick"], "chat")


def said(daemon, channel, brick):
    """The levels that get through when a brick says something at each; and the level of its access line."""
    before = len(daemon.log())
    call(channel, UNARY, request("case:log"), [("x-brick", brick)])
    call(channel, CHECK)  # the log is in order: its line comes after those of the other
    wait_for("the lines", lambda: "health Check" in daemon.log()[before:], 20)
    found = [l for l in lines(daemon.log()[before:]) if l.get("brick") == brick]
    return [l["level"] for l in found if "said at" in l["message"]], \
        [l["level"] for l in found if l.get("message_id") == ACCESS]


@test
def levels_of_bricks():
    from_error = ["error", "warning", "notice", "info", "debug"]
    with Brickd(TWO, json_log()) as d:
        channel = d.channel()
        eq(said(d, channel, "chat"), (from_error[:4], ["info"]))
        eq(said(d, channel, "quiet"), (["error"], []))
        d.ctl("log-level", "--brick", "quiet", "debug")
        eq(said(d, channel, "quiet"), (from_error, ["info"]))
        eq(said(d, channel, "chat"), (from_error[:4], ["info"]), "the other")
        status = d.ctl("status").stdout
        assert re.search(r"^log level +debug for quiet$", status, re.M), status

        d.ctl("log-level", "--module", "contract", "warning")
        d.ctl("log-level", "debug")
        eq(said(d, channel, "chat"), (from_error[:2], []))
        os.kill(d.workers()[0], signal.SIGKILL)  # the next worker is told as well
        wait_for("the next worker", lambda: call(channel, UNARY, request())[1] == "OK")
        wait_for("its levels", lambda: said(d, channel, "quiet") == (from_error[:2], []))
        eq(d.ctl("log-level", "--brick", "cha", "info", check=False).returncode, 1)
        channel.close()
        d.ctl("reload", "--wait")
        channel = d.channel()
        d.ctl("log-level", "info")
        eq(said(d, channel, "quiet"), (["error"], []), "as configured")


def begin_together(daemon, *calls):
    """Calls that arrive in one piece, so that brickd's clock alone says how long they wait: (request id, headers)."""
    connection = http2.Connection(int(daemon.address.rpartition(":")[2]))
    connection.send(b"".join(
        http2.frame(http2.HEADERS, http2.END_HEADERS, 2 * i + 1, http2.request(UNARY, *headers))
        + http2.frame(http2.DATA, http2.END_STREAM, 2 * i + 1, http2.message(request("hello", request_id=name)))
        for i, (name, headers) in enumerate(calls)))
    return connection


@test
def slow_calls():
    with Brickd(ECHO, json_log(", slow: 20ms, access: off"), modules=os.path.join(BUILD, "src", "bricks")) as d:
        begin = time.monotonic()
        connection = begin_together(d, ("r0", ()), ("r1", ()))
        first, second = sorted(wait_lines(d, 2, message_id=SLOW), key=lambda l: int(l["queued_usec"]))
        took = (time.monotonic() - begin) * 1_000_000  # a call ends after its client has the reply
        eq([first["level"], first["brick"], first["rpc_method"]], ["warning", "chat", UNARY])
        eq({first["request_id"], second["request_id"]}, {"r0", "r1"})
        assert re.fullmatch(r"chat Unary OK in \d+\.\d{3} ms, slow: queued \d+\.\d{3} ms,"
                            r" in the brick \d+\.\d{3} ms, writing \d+\.\d{3} ms", first["message"]), first
        for line, queued in (first, 0), (second, 200_000):
            parts = [int(line[k]) for k in ("queued_usec", "brick_usec", "writing_usec")]
            assert abs(sum(parts) - int(line["duration_usec"])) < 5, line
            assert queued <= parts[0] and 295_000 < parts[1] and sum(parts) < took, line
        assert int(first["queued_usec"]) < 200_000, first

        # Given up while it waits, and while it runs.
        connection.close()
        connection = begin_together(d, ("g0", [(b"grpc-timeout", b"250m")]), ("g1", [(b"grpc-timeout", b"150m")]))
        found = {l["request_id"]: l for l in wait_lines(d, 4, message_id=SLOW)[2:]}
        eq(set(found), {"g0", "g1"})
        eq([int(found[f"g{i}"]["brick_usec"]) > 100_000 for i in range(2)], [True, False])
        connection.close()
        log = d.whole_log()
        eq([len(lines_of(log, message_id)) for message_id in (SLOW, ACCESS)], [4, 0])


@test
def nobody_waits_for_a_full_pipe():
    with Brickd(CONTRACT, json_log()) as d:
        d.stop()
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        d.process = subprocess.Popen([os.path.join(BUILD, "src", "brickd"), "-c", d.config],
                                     stdin=subprocess.DEVNULL, stderr=writing, env=d.env)
        os.close(writing)
        channel = d.channel()
        grpc.channel_ready_future(channel).result(START_LIMIT)
        for _ in range(3):
            eq(call(channel, UNARY, request("case:log-flood"))[1], "OK")
        took = 0
        for _ in range(200):
            watch = Stopwatch()
            eq(call(channel, UNARY, request())[1], "OK")
            took = max(took, watch.elapsed().running)
        assert took < 5, took
        d.ctl("log-level", "info")  # the main process writes to the same pipe, and answers
        d.ctl("reload")
        # The old worker may have given up what it could not write; the new one has until it is stopped.
        channel = d.channel()
        for _ in range(3):
            eq(call(channel, UNARY, request("case:log-flood"))[1], "OK")

        with open(reading, errors="strict", encoding="utf-8") as f:
            d.process.send_signal(signal.SIGTERM)
            found = lines(f.read())
        eq(d.process.wait(STOP_LIMIT), 0)
        dropped = [re.match(r"(\d+) lines dropped", l["message"]) for l in found]
        assert sum(int(m[1]) for m in dropped if m) > 100, "dropped lines are counted"


if __name__ == "__main__":
    main()
