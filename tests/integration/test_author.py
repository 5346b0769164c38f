# SPDX-License-Identifier: MIT
"""What the author of a module is told of his mistakes, and what their clients see: an answer, each time."""
import json
import os
import subprocess

from harness import (BUILD, NO_LEAK_CHECK, SANITIZED, Brickd, call, eq, free_port, generate_stubs, main, path, stream,
                     temp_dir, test, wait_for)

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.compose import compose_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

ECHO = f"  - {{ name: other, module: {BUILD}/src/bricks/echo.so, options: {{ type: Guard }} }}\n"
UNARY = path("LLM", "Unary")
# Every rogue of the zoo answers "ok", and misbehaves when the prompt is "now".
NOW = llm_pb2.LLMRequest(prompt="now").SerializeToString()
# What brickd says of a brick that it cannot understand.
FAILED = (13, "Invalid argument", "An error occurred while processing Unary.")
INVALID = (13, "Invalid unary response type!", "The response from the brick is not of type LLMResponse.")


def rogue(name, **kwargs):
    return Brickd(f"  - {{ name: bad, module: {name} }}\n" + ECHO, **kwargs)


def error_of(reply):
    error = llm_pb2.LLMResponse.FromString(reply).error  # raises what a client would: texts must be UTF-8
    return error.code, error.message, error.detail


def answer(name, error, line=None, **kwargs):
    """The error that a client gets of a rogue, and what the log says of it."""
    with rogue(name, **kwargs) as daemon:
        reply, status, details, _ = call(daemon.channel(), UNARY, NOW, timeout=10)
        eq((status, error_of(reply)) if reply else (status, details), ("OK", error))
        if line:
            wait_for("the line", lambda: f"Brick 'bad' {line}" in daemon.log(), 20)
            daemon.says(f"a fault of module {daemon.modules}/{name}.so")
        eq(call(daemon.channel(), path("Guard", "Unary"))[1], "OK", "others are served")
        eq(daemon.stop()[0], 0)


@test
def an_error_code_that_a_handler_returns():
    line = "returned a positive number from start() (to answer with an error code, use brick_fail()"
    answer("returns-code", FAILED, line)
    answer("starts-with-code", FAILED, line)


@test
def an_error_with_the_code_of_success():
    answer("fails-with-success", INVALID, "failed a call with the code 200, which means success")


@test
def replies_that_are_refused_say_why():
    answer("sends-garbage", INVALID, "sent a reply that is not of its type")
    answer("sends-bad-utf8", INVALID, "sent a reply with a string that is not UTF-8")
    answer("sends-error", INVALID, "sent a reply with its field `error` set")


@test
def a_reply_sent_by_hand_and_by_the_return():
    answer("sends-twice", FAILED, "sent more than one reply to a call that has one")


@test
def a_reply_larger_than_the_port_allows():
    answer("sends-much", (13, "Message too long", "An error occurred while processing Unary."),
           port_extra="    limits: { reply: 64KiB }")


@test
def a_mark_that_was_never_given():
    with rogue("rewinds-too-far") as daemon:
        reply, _, details, _ = call(daemon.channel(), UNARY, NOW)
        eq(error_of(reply)[0], 200, details)
        wait_for("the line", lambda: "'bad' called call_rewind() with a mark that" in daemon.log(), 20)


def caller(name):
    """A rogue that calls another brick."""
    return Brickd(f"  - {{ name: bad, module: {name}, options: {{ to: echo }} }}\n"
                  f"  - {{ name: echo, module: {BUILD}/src/bricks/echo.so }}\n" + ECHO,
                  port_extra="    bricks: [bad, other]")


def blamed(daemon, *lines):
    for line in lines:
        wait_for(line, lambda: f"Brick 'bad' {line}: a fault of module" in daemon.log(), 20)
    eq(call(daemon.channel(), path("Guard", "Unary"))[1], "OK", "others are served")
    eq(daemon.stop()[0], 0)


@test
def calls_left_to_a_child_in_wrong_ways():
    with caller("relays-twice") as daemon:
        reply, _, details, _ = call(daemon.channel(), UNARY, NOW)
        eq(llm_pb2.LLMResponse.FromString(reply).text, "Echo: now", details)
        blamed(daemon, "called a brick on behalf of a call that it had finished",
               "relayed a call that it had finished", "finished a call twice")
    with caller("relays-finished") as daemon:
        reply, _, details, _ = call(daemon.channel(), UNARY, NOW)
        eq(llm_pb2.LLMResponse.FromString(reply).text, "ok", details)
        blamed(daemon, "relayed a call that it had finished")
    with caller("relays-foreign") as daemon:
        first = daemon.channel().unary_unary(UNARY).future(NOW, timeout=20)
        wait_for("the first call", lambda: '"in_flight":1' in daemon.ctl("status", "--json").stdout, 20)
        eq(error_of(call(daemon.channel(), UNARY, NOW)[0]), FAILED)
        eq(first.exception(timeout=20).code().name, "CANCELLED")
        blamed(daemon, "relayed the child of another call")


@test
def timers_used_in_wrong_ways():
    with rogue("timer-late") as daemon:
        reply, _, details, _ = call(daemon.channel(), UNARY, NOW)
        eq(llm_pb2.LLMResponse.FromString(reply).text, "ok", details)
        blamed(daemon, "set a timer of a call that it had finished", "freed a timer twice",
               "made a timer of a call that it had finished")
    with rogue("timer-finishes") as daemon:
        for _ in range(50):
            eq(call(daemon.channel(), UNARY, NOW)[1:3], ("FAILED_PRECONDITION", "in time"))
        eq(daemon.stop()[0], 0)
        assert "a fault of module" not in daemon.log(), daemon.log()


@test
def a_watch_that_blocks_is_named():
    with caller("watch-blocks") as daemon:
        wait_for("the line", lambda: "Brick 'bad' held the polling thread for" in daemon.log(), 20)
        eq(error_of(call(daemon.channel(), UNARY, NOW)[0]), FAILED)
        eq(daemon.stop()[0], 0)


@test
def errors_that_are_not_utf8():
    texts = (2003, "cut \ufffd\ufffd", "\ufffd in the detail")
    answer("fails-with-bad-utf8", texts)
    with rogue("fails-with-bad-utf8") as daemon:
        _, status, details, trailers = call(daemon.channel(), UNARY, NOW, metadata=[("x-brick-status", "grpc")])
        eq((status, details), ("INVALID_ARGUMENT", texts[1]))
        assert texts[1].encode() in trailers["grpc-status-details-bin"], trailers
        assert texts[2].encode() in trailers["grpc-status-details-bin"], trailers
    with rogue("finishes-with-bad-utf8") as daemon:
        eq(call(daemon.channel(), UNARY, NOW)[1:3], ("UNAVAILABLE", "away: \ufffd"))


@test
def an_error_as_long_as_it_is():
    with Brickd("  - { name: quotes, module: author }\n") as daemon:
        for length in 10, 1022, 1023, 1024, 5000, 100_000:
            text = "x" + "\u4e2d" * (length // 3)
            eq(error(daemon, do="fail", text=text), (2003, "no: " + text, ""))
        text = error(daemon, do="fail", text="\u4e2d" * 1_000_000)[1]
        assert text.startswith("no: \u4e2d") and text.endswith("\u4e2d\u2026"), text[-10:]
        assert 250_000 < len(text.encode()) <= 256 * 1024, len(text)
        # A gRPC status is a header, of which clients take 8 KiB.
        status, details = call(daemon.channel(), path("Common", "Unary"), request(do="fail", text="\u4e2d" * 10_000),
                               metadata=[("x-brick-status", "grpc")])[1:3]
        eq((status, details[-3:]), ("INVALID_ARGUMENT", "\u4e2d\u4e2d\u2026"))
        assert 2000 < len(details.encode()) <= 2048, len(details.encode())


@test
def lines_and_reasons_that_are_not_utf8():
    for form in "text", "json":
        with rogue("says-bad-utf8", extra=f"log: {{ format: {form} }}") as daemon:
            health = json.loads(daemon.ctl("status", "--json").stdout)
            assert "\u4e2d\u2026" in json.dumps(health, ensure_ascii=False), health
            eq(daemon.stop()[0], 0)
            with open(daemon.log_path, "rb") as f:
                log = f.read().decode()  # raises if it is not UTF-8
            assert "bad: \ufffd\ufffd half a sign" in log, log
            assert "Brick 'bad' is not healthy: no \ufffd index" in log, log
            long = [line for line in log.splitlines() if "bad: long: x" in line]
            eq(len(long), 1)
            assert "xx\u2026" in long[0], "what is cut says so"
            assert "\u4e2d\u2026" in log, "a reason is cut between characters"
    daemon = rogue("blames-with-bad-utf8").start(ready=False)
    eq(daemon.process.wait(20), 78)
    daemon.says("no \ufffd good")


@test
def what_create_may_return():
    for mode, line in ("code", "create() returned 404, which is neither 0 nor a negative errno"), (
            "errno", "refused to make this brick: Input/output error"):
        daemon = Brickd(f"  - {{ name: bad, module: create-returns-code, options: {{ mode: {mode} }} }}\n")
        daemon.start(ready=False)
        eq(daemon.process.wait(20), 78, daemon.log())
        daemon.says("bricks[0]")
        daemon.says(line)


@test
def exit_in_a_brick_is_named():
    for name, prefix in ("exits", "Brick 'bad' called exit()"), ("thread-exits", "A thread called exit()"):
        with rogue(name) as daemon:
            before = daemon.workers()
            eq(call(daemon.channel(), UNARY, NOW)[1], "UNAVAILABLE")
            wait_for("the line", lambda: prefix in daemon.log(), 20)
            daemon.says(f"a fault of {daemon.modules}/{name}.so")
            assert "exited with status 1" in wait_for("its end", lambda: "exited with" in daemon.log() and daemon.log())
            wait_for("a new worker", lambda: daemon.workers() and daemon.workers() != before)
            wait_for("an answer", lambda: call(daemon.channel(), path("Guard", "Unary"))[1] == "OK")
    daemon = rogue("create-exits").start(ready=False)
    assert daemon.process.wait(20) != 0
    daemon.says("Brick 'bad' called exit()")


@test
def a_brick_that_ends_its_thread_is_named():
    if SANITIZED:  # it takes what the functions that have been unwound have left on the stack for a fault
        return
    line = "Brick 'bad' ended a thread of brickd, as pthread_exit() does"
    for name in "ends-thread", "ends-blocking-thread":
        with rogue(name) as daemon:
            before = daemon.workers()
            eq(call(daemon.channel(), UNARY, NOW)[1], "UNAVAILABLE")
            daemon.says(line)
            daemon.says(f"a fault of module {name}")
            wait_for("a new worker", lambda: daemon.workers() and daemon.workers() != before)
            wait_for("an answer", lambda: call(daemon.channel(), path("Guard", "Unary"))[1] == "OK")
    daemon = rogue("create-ends-thread").start(ready=False)
    assert daemon.process.wait(20) != 0
    daemon.says(line)


@test
def a_brick_that_floods_the_log():
    """It is "now" that it changes its health 1,001 times, breaks a rule as often, and logs 5,000 lines."""
    with rogue("floods-log") as daemon:
        eq(call(daemon.channel(), UNARY, NOW)[1], "OK")
        daemon.says("of its own were left out")
        log = daemon.whole_log()
        own = log.count("bad: line")
        assert 1000 <= own <= 3000, own
        for counted, most in ("healthy", 20), ("a fault of module", 200):
            assert log.count(counted) <= most, counted


# ---- a sound module that uses the helpers: tests/module/author.c

def request(**fields):
    message = common_pb2.CommonRequest()
    message.data.update(fields)
    return message.SerializeToString()


def error(daemon, **fields):
    reply, status, details, _ = call(daemon.channel(), path("Common", "Unary"), request(**fields))
    eq(status, "OK", details)
    found = common_pb2.CommonResponse.FromString(reply).error
    return found.code, found.message, found.detail


@test
def a_stream_of_structs_is_as_long_as_it_likes():
    bricks = "  - { name: streams, module: author, limits: { memory: 64KiB } }\n"
    with Brickd(bricks, extra="log: { access: off }") as daemon:
        replies, status, details = stream(daemon.channel(), path("Common", "OutputStreaming"), request(n=30_000),
                                          timeout=60)
        eq((status, len(replies)), ("OK", 30_000), details)
        last = common_pb2.CommonResponse.FromString(replies[-1])
        eq(last.error.code, 200)
        eq((last.data["n"], list(last.data["list"]), dict(last.data["inner"])), (29_999, ["a", 1, True], {"x": "y"}))
        # A trailer set while a message was made stays.
        rpc = daemon.channel().unary_stream(path("Common", "OutputStreaming"))(request(n=3))
        eq(len(list(rpc)), 3)
        eq(dict(rpc.trailing_metadata()).get("x-first"), "yes, the first of all messages")


@test
def a_response_may_point_into_the_last_request():
    with Brickd("  - { name: points, module: author }\n") as daemon:
        requests = iter([request(text="first " * 100), request(text="second " * 100)])
        reply = daemon.channel().stream_unary(path("Common", "InputStreaming"))(requests, timeout=20)
        eq(common_pb2.CommonResponse.FromString(reply).data["last"], "second " * 100)


@test
def a_brick_that_asks_another():
    bricks = f"""  - {{ name: echo, module: {BUILD}/src/bricks/echo.so, options: {{ type: LLM }} }}
  - {{ name: bad, module: fails-with-bad-utf8 }}
  - {{ name: asks, module: asks, options: {{ llm: echo }}, default: true }}
  - {{ name: asks-bad, module: asks, options: {{ llm: bad }}, match: {{ x-brick: asks-bad }} }}
"""
    bricks = bricks.replace("LLM }", "LLM }, default: true").replace("bad-utf8 }", "bad-utf8, match: { x-brick: bad } }")
    with Brickd(bricks) as daemon:
        for prompt in "now", "a long one, " * 1000:
            ask = compose_pb2.ComposeRequest()
            ask.input_documents.add().snippet = prompt
            reply, status, details, _ = call(daemon.channel(), path("Compose", "Unary"), ask.SerializeToString())
            eq((status, compose_pb2.ComposeResponse.FromString(reply).output["text"]), ("OK", "Echo: " + prompt), details)
        ask = compose_pb2.ComposeRequest()
        ask.input_documents.add().snippet = "now"
        reply = call(daemon.channel(), path("Compose", "Unary"), ask.SerializeToString(),
                     metadata=[("x-brick", "asks-bad")])[0]
        error = compose_pb2.ComposeResponse.FromString(reply).error
        eq((error.code, error.message, error.detail), (2003, "cut \ufffd\ufffd", "\ufffd in the detail"))


@test
def a_kept_call_ends_like_a_return_value():
    with Brickd("  - { name: keeps, module: author }\n") as daemon:
        eq(error(daemon, do="keep", r=0), (200, "", ""))
        eq(error(daemon, do="keep", r=-38), (12, "", "The requested operation is not implemented."))
        eq(error(daemon, do="keep", r=-5), (13, "Input/output error", "An error occurred while processing Unary."))
        eq(error(daemon, do="keep", r=404), FAILED)


@test
def a_choice_in_any_case():
    bricks = f"  - {{ name: echo, module: {BUILD}/src/bricks/echo.so, options: {{ type: %s }} }}\n"
    with Brickd(bricks % "llm", extra="log: { level: Info }") as daemon:
        reply = call(daemon.channel(), UNARY, llm_pb2.LLMRequest(prompt="x").SerializeToString())[0]
        eq(llm_pb2.LLMResponse.FromString(reply).text, "Echo: x")
    daemon = Brickd(bricks % "lmm").start(ready=False)
    eq(daemon.process.wait(20), 78)
    assert ("options.type: expected Common, LLM, Guard, Intention, Rectify, Retrieval, Translate or Compose, got \"lmm\""
            in daemon.log()), daemon.log()


@test
def brickd_runs_from_the_build_tree():
    """In `meson devenv`, with nothing installed and no paths in the configuration."""
    folder, port = temp_dir(), free_port()
    with open(os.path.join(folder, "brickd.yaml"), "w") as f:
        f.write(f"""ports: [{{ listen: "127.0.0.1:{port}" }}]
control: {folder}/control
bricks:
  - {{ name: parrot, module: echo, options: {{ type: LLM }} }}
  - {{ name: shield, module: guard-rules }}
""")
    script = f"""set -e
        export BRICKD_CONFIG={folder}/brickd.yaml
        brickctl check
        brickd --describe echo >/dev/null
        brickctl index --help >/dev/null
        brickd -c "$BRICKD_CONFIG" & pid=$!
        for i in $(seq 200); do brickctl call parrot hello 2>/dev/null && break; sleep 0.1; done
        kill $pid
        wait $pid"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BRICKD_")}
    done = subprocess.run(["meson", "devenv", "-C", BUILD, "sh", "-c", script], env=clean | NO_LEAK_CHECK, timeout=60,
                          capture_output=True, text=True)
    eq(done.returncode, 0, done.stdout + done.stderr)
    assert "Echo: hello" in done.stdout, done.stdout + done.stderr


@test
def a_model_with_languages():
    with Brickd("  - { name: tells, module: author }\n") as daemon:
        reply = call(daemon.channel(), path("Common", "GetServiceInfo"))[0]
        model = common_pb2.ServiceInfoResponse.FromString(reply).models[0]
        eq((model.model_id, list(model.supported_languages)), ("author", ["de", "zh"]))


if __name__ == "__main__":
    main()
