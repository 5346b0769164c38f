# SPDX-License-Identifier: MIT
"""grpcurl and ghz, made of the modules that their users install, against a brickd."""
import json
import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import registry  # noqa: E402
from harness import BUILD, SOURCE, eq, main, test, wait_for  # noqa: E402
from served import TOKEN, TYPES, Served  # noqa: E402

LIMIT = 120
programs = registry.go(os.path.join(HERE, "programs", "grpc-tools"), os.path.join(BUILD, "tests", "real", "grpc-tools"),
                       "github.com/bojand/ghz/cmd/ghz", "github.com/fullstorydev/grpcurl/cmd/grpcurl")
served = Served()
LLM, COMMON = "protocols.grpc.llm.LLMService", "protocols.grpc.common.CommonService"
SERVICES = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
            *(f"protocols.grpc.{kind.lower()}.{kind}Service" for kind in TYPES)}
BEARER = "authorization: Bearer "


def grpcurl(*args, data=None, status=0, plain=True, **options):
    """Its output; `data`: requests, which it reads as JSON. Statuses of gRPC are 64 and more."""
    more = (["-plaintext"] if plain else []) + ([] if data is None else ["-d", "@"])
    done = subprocess.run([os.path.join(programs, "grpcurl"), *more, *args], text=True, capture_output=True, timeout=LIMIT,
                          input="\n".join(map(json.dumps, data or [])), **options)
    eq(done.returncode, status, done.stderr)
    return done.stdout if status == 0 else done.stderr


def objects(text):
    """The JSON objects one after the other."""
    found, decoder = [], json.JSONDecoder()
    while text.strip():
        value, end = decoder.raw_decode(text.strip())
        found.append(value)
        text = text.strip()[end:]
    return found


@test
def grpcurl_lists_and_describes():
    eq(set(grpcurl(served.address, "list").split()), SERVICES)
    eq(grpcurl(served.address, "list", LLM).split(), [f"{LLM}.{m}" for m in ("GetServiceInfo", "OutputStreaming", "Unary")])
    text = grpcurl(served.address, "describe", LLM)
    assert "rpc OutputStreaming ( .protocols.grpc.llm.LLMRequest ) returns ( stream .protocols.grpc.llm.LLMResponse );" in text, text
    assert "string prompt = 2;" in grpcurl(served.address, "describe", "protocols.grpc.llm.LLMRequest")
    for service in SERVICES:
        grpcurl(served.address, "describe", service)
    assert "message Struct" in grpcurl(served.address, "describe", "google.protobuf.Struct")
    assert "not found" in grpcurl(served.address, "describe", "no.Service", status=1).lower()


@test
def grpcurl_calls_all_types():
    for kind in TYPES:
        reply, = objects(grpcurl(served.address, f"protocols.grpc.{kind.lower()}.{kind}Service/Unary", data=[{}]))
        eq(reply["error"], {"code": 200}, kind)
        info, = objects(grpcurl(served.address, f"protocols.grpc.{kind.lower()}.{kind}Service/GetServiceInfo"))
        eq(info["serviceName"], "echo", kind)
    reply, = objects(grpcurl(served.address, LLM + "/Unary", data=[{"prompt": "hello 你好"}]))
    eq(reply["text"], "Echo: hello 你好")


@test
def grpcurl_streams():
    replies = objects(grpcurl(served.address, LLM + "/OutputStreaming", data=[{"prompt": "x", "max_tokens": 1000}]))
    eq([r["text"] for r in replies], [f"tok{i} " for i in range(1000)])
    data = [{"data": {"n": i, "deep": {"list": [1, None, "x"]}}} for i in range(50)]
    reply, = objects(grpcurl(served.address, COMMON + "/InputStreaming", data=data))
    eq(reply["data"], {"count": 50, "last": data[-1]["data"]})
    eq([r["data"] for r in objects(grpcurl(served.address, COMMON + "/BidiStreaming", data=data))], [d["data"] for d in data])


@test
def grpcurl_without_reflection():
    args = ["-import-path", os.path.join(SOURCE, "proto"), "-proto", "protocols/grpc/llm/llm.proto"]
    reply, = objects(grpcurl(*args, served.address, LLM + "/Unary", data=[{"prompt": "x"}]))
    eq(reply["text"], "Echo: x")


@test
def grpcurl_sees_errors():
    faults = served.ports["faults"]
    reply, = objects(grpcurl(faults, LLM + "/Unary", data=[{"prompt": "case:fail"}]))
    eq(reply["error"], {"code": 2003, "message": "bad param", "detail": "the detail"})
    for method in "Unary", "OutputStreaming":
        text = grpcurl(faults, f"{LLM}/{method}", data=[{"prompt": "case:status"}], status=64 + 9)
        assert "Code: FailedPrecondition" in text and "Message: not in this state" in text, text
    told, = objects(grpcurl("-format-error", faults, LLM + "/Unary", data=[{"prompt": "case:status"}], status=64 + 9))
    eq((told["code"], told["message"]), (9, "not in this state"))
    grpcurl(served.address, LLM + "/Unary", data=[{"prompt": "x" * (5 << 20)}], status=64 + 8)
    grpcurl("-max-time", "2", faults, LLM + "/Unary", data=[{"prompt": "case:wait"}], status=64 + 4)
    wait_for("the end of the call", lambda: served.in_flight() == 0)


@test
def grpcurl_sends_and_shows_metadata():
    text = grpcurl("-v", "-H", "x-one: 1", "-H", "x-request-id: mine", served.ports["faults"], LLM + "/Unary",
                   data=[{"prompt": "case:metadata"}])
    assert "\nfound: 1\n" in text.partition("Response trailers received:")[2], text


@test
def grpcurl_asks_for_health():
    for service in "", LLM:
        reply, = objects(grpcurl(served.address, "grpc.health.v1.Health/Check", data=[{"service": service}]))
        eq(reply, {"status": "SERVING"})
    grpcurl(served.address, "grpc.health.v1.Health/Check", data=[{"service": "no.Service"}], status=64 + 5)
    watch = subprocess.run([os.path.join(programs, "grpcurl"), "-plaintext", "-max-time", "5", served.address,
                            "grpc.health.v1.Health/Watch"], capture_output=True, text=True, timeout=LIMIT)
    eq((watch.returncode, objects(watch.stdout)), (64 + 4, [{"status": "SERVING"}]), watch.stderr)


@test
def grpcurl_with_tls():
    ca, tls, mutual = ["-cacert", served.ca.path("ca.pem")], served.ports["tls"], served.ports["mutual"]
    ask, told = [LLM + "/Unary"], {"data": [{"prompt": "x"}], "plain": False}
    for trust in ca, ["-insecure"]:
        reply, = objects(grpcurl(*trust, "-H", BEARER + TOKEN, tls, *ask, **told))
        eq(reply["text"], "Echo: x")
    eq(set(grpcurl(*ca, "-H", BEARER + TOKEN, tls, "list", plain=False).split()), SERVICES)
    text = grpcurl(*ca, "-H", BEARER + "another", tls, "list", plain=False, status=1)
    assert "The token is not known" in text, text
    proto = ["-import-path", os.path.join(SOURCE, "proto"), "-proto", "protocols/grpc/llm/llm.proto"]
    text = grpcurl(*ca, *proto, tls, *ask, status=64 + 16, **told)
    assert "Unauthenticated" in text, text
    text = grpcurl("-H", BEARER + TOKEN, "-connect-timeout", "5", tls, *ask, status=1, **told)
    assert "certificate" in text, text
    certificate, key = served.client
    reply, = objects(grpcurl(*ca, "-cert", certificate, "-key", key, mutual, *ask, **told))
    eq(reply["text"], "Echo: x")
    text = grpcurl(*ca, "-connect-timeout", "5", mutual, *ask, status=1, **told)
    assert re.search("certificate|EOF|reset|closed", text), text


@test
def grpcurl_over_a_unix_socket():
    socket = served.ports["unix"].removeprefix("unix:")
    reply, = objects(grpcurl("-unix", socket, LLM + "/Unary", data=[{"prompt": "x"}]))
    eq(reply["text"], "Echo: x")


def ghz(*args, address=None, insecure=True):
    """Its process; report() reads what it has measured."""
    plain = ["--insecure"] if insecure else []
    return subprocess.Popen([os.path.join(programs, "ghz"), *plain, "-O", "json", *args, address or served.address],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(process, count=None):
    """What has been measured; each call has succeeded."""
    out, err = process.communicate(timeout=LIMIT)
    eq(process.returncode, 0, err)
    found = json.loads(out)
    count = count or found["count"]
    eq((found["count"], found["statusCodeDistribution"]), (count, {"OK": count}), found.get("errorDistribution"))
    return found


@test
def ghz_without_an_error():
    prompt = ["-d", '{"prompt": "{{.RequestNumber}}"}']
    report(ghz("--call", LLM + ".Unary", *prompt, "-n", "2000", "-c", "50", "--connections", "5"), 2000)
    report(ghz("--call", LLM + ".OutputStreaming", "-d", '{"max_tokens": 20}', "-n", "200", "-c", "20"), 200)
    talk = json.dumps([{"data": {"n": i}} for i in range(5)])
    for method in "InputStreaming", "BidiStreaming":
        report(ghz("--call", f"{COMMON}.{method}", "-d", talk, "-n", "200", "-c", "20"), 200)
    proto = ["--import-paths", os.path.join(SOURCE, "proto"), "--proto", os.path.join(SOURCE, "proto/protocols/grpc/llm/llm.proto")]
    report(ghz(*proto, "--call", LLM + ".Unary", *prompt, "-n", "200", "-c", "20"), 200)


@test
def ghz_with_tls_and_a_token():
    token = json.dumps({"authorization": "Bearer " + TOKEN})
    report(ghz("--cacert", served.ca.path("ca.pem"), "--metadata", token, "--reflect-metadata", token, "--call", LLM + ".Unary",
               "-d", "{}", "-n", "500", "-c", "20", address=served.ports["tls"], insecure=False), 500)


def calls_made():
    status = json.loads(served.ctl("status", "--json").stdout)
    return next(brick["calls"] for brick in status["bricks"] if brick["name"] == "llm")


@test
def ghz_through_reloads():
    """25 clients on 5 connections, until two reloads have been made."""
    running = ghz("--call", LLM + ".Unary", "-d", "{}", "-n", "1000000", "-c", "25", "--connections", "5", "--rps", "500",
                  "--duration-stop", "wait")
    for _ in range(2):
        before = calls_made()
        wait_for("calls", lambda: calls_made() > before + 100)
        served.ctl("reload")
    before = calls_made()
    wait_for("calls", lambda: calls_made() > before + 100)
    running.send_signal(signal.SIGINT)  # it ends when those in flight have
    assert report(running)["count"] > 300


with served:
    main()
