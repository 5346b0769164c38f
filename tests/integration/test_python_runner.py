# SPDX-License-Identifier: MIT
"""brickd-python with scripts that need nothing but Debian's grpcio. Bricks of llmbrick are in tests/real."""
import importlib.machinery
import importlib.util
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import types

from harness import call, eq, main, path, temp_dir, test, wait_for
from runner import RUNNER, Runner

UNARY = path("Guard", "Unary")
HEALTH = "/grpc.health.v1.Health/Check"

# What all scripts begin with: a servicer of raw bytes, as generated code would register it.
BEGIN = """
import asyncio, os, signal, sys, time
from concurrent import futures
import grpc, grpc.aio

def register(server, servicer, kind="Guard"):
    method = grpc.unary_unary_rpc_method_handler(servicer.Unary)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        f"protocols.grpc.{kind.lower()}.{kind}Service", {"Unary": method}),))

class Aio:
    async def Unary(self, request, context):
        if request.startswith(b"sleep"):
            print("asleep", flush=True)
            await asyncio.sleep(float(request[5:]))
        if request == b"block":
            print("blocked", flush=True)
            while not os.path.exists("go"):
                time.sleep(0.01)
        return request

class Sync:
    def Unary(self, request, context):
        if request.startswith(b"sleep"):
            print("asleep", flush=True)
            time.sleep(float(request[5:]))
        return request

async def serve(*servicers, kinds=("Guard",), wait=True):
    server = grpc.aio.server()
    for servicer, kind in zip(servicers, kinds):
        register(server, servicer, kind)
    print("port", server.add_insecure_port("[::]:50051"))
    await server.start()
    await (server.wait_for_termination() if wait else asyncio.sleep(1000))

def serve_sync(wait=True):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    register(server, Sync())
    server.add_insecure_port("[::]:50051")
    server.start()
    if wait:
        server.wait_for_termination()
    while True:
        time.sleep(1000)
"""
AIO = "asyncio.run(serve(Aio()))"
SYNC = "serve_sync()"


def script(text, name="grpc_server.py"):
    """The path of a script that begins as all do."""
    file = os.path.join(temp_dir(), name)
    with open(file, "w", encoding="utf-8") as f:
        f.write(BEGIN + textwrap.dedent(text))
    return file


def in_flight(running, request):
    """A call that has begun to sleep: (thread, its result)."""
    result = []
    thread = threading.Thread(target=lambda: result.extend(call(running.channel, UNARY, request)[:3]))
    thread.start()
    running.says("asleep")
    return thread, result


@test
def a_script_listens_on_the_socket_and_nowhere_else():
    for text in (AIO, SYNC):
        with Runner("script", script(text)) as running:
            eq(call(running.channel, UNARY, b"hello")[:2], (b"hello", "OK"))
            eq(stat.filemode(os.stat(running.socket).st_mode), "srw-------")
            eq(call(running.channel, HEALTH)[:2], (b"\x08\x01", "OK"))
            eq(call(running.channel, path("Guard", "Nothing"))[1:3], ("UNIMPLEMENTED", "Method not found!"))
            sockets = subprocess.check_output(["ss", "-Hlntp"], text=True)
            assert f"pid={running.process.pid}," not in sockets, sockets
            eq(call(running.channel, UNARY, bytes(5 << 20))[1], "OK", "5 MiB")
            running.says("listens on brickd's socket instead of [::]:50051")
            assert any(re.fullmatch(r"STATUS=serving with grpcio [\d.]+ on Python [\d.]+", m) for m in running.messages)


@test
def the_port_line_may_be_missing_and_options_be_given():
    text = """
        async def run():
            server = grpc.aio.server(handlers=[grpc.method_handlers_generic_handler(
                "protocols.grpc.guard.GuardService", {"Unary": grpc.unary_unary_rpc_method_handler(Aio().Unary)})],
                options=[("grpc.max_receive_message_length", 1000)])
            await server.start()
            await server.wait_for_termination()
        asyncio.run(run())
    """
    with Runner("script", script(text)) as running:
        eq(call(running.channel, UNARY, b"hello")[:2], (b"hello", "OK"))
        eq(call(running.channel, UNARY, bytes(1001))[1], "RESOURCE_EXHAUSTED", "the script's own limit")


@test
def a_script_sees_itself_as_when_it_is_run():
    text = """
        import sibling
        print(__name__, sys.argv, sibling.VALUE, os.path.basename(sys.path[0]))
        asyncio.run(serve(Aio()))
    """
    file = script(text)
    with open(os.path.join(os.path.dirname(file), "sibling.py"), "w") as f:
        f.write("VALUE = 7\n")
    with Runner("script", file, arguments=["--fast", "x"]) as running:
        running.says(f"__main__ {[file, '--fast', 'x']!r} 7 {os.path.basename(os.path.dirname(file))}")
        running.says("port 50051")


@test
def several_bricks_in_a_script():
    file = script("asyncio.run(serve(Aio(), Aio(), kinds=('Guard', 'LLM')))")
    for kind in ("Guard", "LLM"):
        with Runner("script", file, kind=kind) as running:
            eq(call(running.channel, UNARY, b"hello")[1], "OK")
            eq(call(running.channel, path("LLM", "Unary"), b"hello")[1], "OK")


@test
def sigterm_lets_calls_end():
    own = """
        async def run():
            server = grpc.aio.server()
            register(server, Aio())
            stop = lambda: asyncio.ensure_future(server.stop(0.01))  # brickd's grace is the one that counts
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
            await server.start()
            await server.wait_for_termination()
            print("the script's end")
        asyncio.run(run())
    """
    for text in (AIO, SYNC, own, "asyncio.run(serve(Aio(), wait=False))", "serve_sync(wait=False)"):
        with Runner("script", script(text), grace=30) as running:
            thread, result = in_flight(running, b"sleep0.5")
            running.terminate()
            thread.join()
            eq(result[:2], [b"sleep0.5", "OK"], text)
            eq(running.ended(), 0, text)
            wait_for("STOPPING=1", lambda: "STOPPING=1" in running.messages)
            if text == own:
                running.says("the script's end")


@test
def the_grace_is_the_limit():
    for text in (AIO, SYNC):
        with Runner("script", script(text), grace=0.2) as running:
            thread, result = in_flight(running, b"sleep2")
            running.terminate()
            thread.join()
            eq(result[1], "UNAVAILABLE", text)
            eq(running.process.wait(20), 0, text)


@test
def a_second_sigterm_ends_at_once():
    for text in (AIO, SYNC):
        with Runner("script", script(text), grace=60) as running:
            in_flight(running, b"sleep50")
            running.terminate()
            wait_for("STOPPING=1", lambda: "STOPPING=1" in running.messages)
            running.terminate()
            eq(running.ended(), -signal.SIGTERM, text)


@test
def bricks_are_opened_and_closed():
    text = """
        class Brick:
            async def open(self): print("open")
            def startup(self): print("startup")
            def close(self, when): print("not a hook")
            def shutdown(self): print("shutdown")

        class Other(Brick):
            close = None
            def open(self, path): print("not a hook")
            async def close(self):
                await asyncio.sleep(0.3)
                raise OSError("disk {full}")

        class Wrapper(Aio):  # as llmbrick's: the brick is behind it
            def __init__(self, brick): self.brick = brick
        asyncio.run(serve(Wrapper(Brick()), Wrapper(Other()), kinds=("Guard", "LLM")))
        print("end of the script")
    """
    with Runner("script", script(text)) as running:
        wait_for("the hooks", lambda: [line for line in running.lines if line in ("startup", "open")] ==
                 ["startup", "open", "startup"])
        call(running.channel, UNARY, b"hello")
        running.channel.close()  # nobody polls it, so that it would not see the end of the connection
        running.terminate()
        eq(running.ended(), 0)
        assert "not a hook" not in running.lines, running.lines
        closed = running.lines[running.lines.index("port 50051") + 1:]
        eq([line for line in closed if line == "shutdown"], ["shutdown"] * 2, "although a hook has failed")
        assert "Other.close(): OSError: disk {full}" in closed, closed
        assert closed[-1] in ("shutdown", "end of the script"), closed


@test
def the_heartbeat_is_that_of_the_event_loop():
    with Runner("script", script(AIO), watchdog_ms=100) as running:
        wait_for("beats", lambda: running.told("WATCHDOG=1") > 3)
        blocked = threading.Thread(target=call, args=(running.channel, UNARY, b"block"))
        blocked.start()
        running.says("blocked")
        before = running.told("WATCHDOG=1")
        time.sleep(0.5)
        eq(running.told("WATCHDOG=1"), before, "a brick blocks the loop, and it beats")
        open(os.path.join(running.dir, "go"), "w").close()
        wait_for("beats again", lambda: running.told("WATCHDOG=1") > before + 3)
        blocked.join()
    with Runner("script", script(SYNC), watchdog_ms=100) as running:
        wait_for("beats", lambda: running.told("WATCHDOG=1") > 3)


@test
def what_a_brick_prints_comes_at_once():
    text = """
        import logging
        logging.basicConfig(level="INFO")
        print("on stdout: 攻擊")
        logging.info("of logging: 攻擊")
        asyncio.run(serve(Aio()))
    """
    with Runner("script", script(text), env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}) as running:
        running.says("on stdout: 攻擊")
        running.says("of logging: 攻擊")


@test
def it_dies_with_its_parent():
    parent = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); p.wait()"
    with Runner("script", script(AIO), before=[sys.executable, "-c", parent]) as running:
        pid = int(wait_for("its number", lambda: [line for line in running.lines if line.isdigit()])[0])
        running.process.kill()
        running.process.wait()

        def dead():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    return f.read().rpartition(")")[2].split()[0] == "Z"
            except FileNotFoundError:
                return True
        wait_for("the runner's end", dead)


# What the script says -> the last line of what the user reads, and whether the traceback of the script is before it
MISTAKES = [
    ("pass", r".*grpc_server.py has ended without a gRPC server: .*GrpcServer.run\(\).*", False),
    ("asyncio.run(serve(Aio(), kinds=('LLM',)))", ".*grpc_server.py serves LLM, but `type` says Guard", False),
    ("asyncio.run(serve())", ".*grpc_server.py serves no brick, but `type` says Guard", False),
    ("import no_such_thing", ".*grpc_server.py needs the Python module no_such_thing: run `.*python.* -m pip install "
                             "no_such_thing`, set `python` to .*", True),
    ("sys.exit('no key')", r".*grpc_server.py has called sys.exit\('no key'\) before it served", False),
    ("1 / 0", ".*grpc_server.py: ZeroDivisionError: division by zero", True),
    ("def f(:", r".*grpc_server.py: File .*, line \d+ def f\(: \^ SyntaxError: invalid syntax", True),
    ("async def two(): await asyncio.gather(serve(Aio()), serve(Aio(), kinds=['LLM']))\nasyncio.run(two())",
     ".*grpc_server.py starts a second server: register all bricks with one", False),
    ("class B:\n  def open(self): raise OSError('no\\n model')\nclass W(Aio): brick = B()\nasyncio.run(serve(W()))",
     r"B.open\(\): OSError: no model", True),
]


@test
def a_mistake_is_one_line_that_says_what_to_do():
    for text, expected, traceback in MISTAKES:
        running = Runner("script", script(text))
        eq(running.ended(), 1, text)
        assert re.fullmatch(expected, running.lines[-1]), (text, running.lines)
        wait_for("the line as the status", lambda: "STATUS=" + running.lines[-1] in running.messages)
        eq(sum(line.startswith("Traceback ") or line.startswith("SyntaxError") for line in running.lines), int(traceback),
           "\n".join(running.lines))
        assert RUNNER not in "\n".join(running.lines[:-1]), running.lines


@test
def mistakes_without_a_script():
    for args, env, expected in (
            (["script", "/nowhere/grpc_server.py"], {}, "there is no file /nowhere/grpc_server.py"),
            (["script", "x"], {"BRICKD_SOCKET": ""}, "BRICKD_SOCKET is not set: .*"),
            (["script", "x"], {"BRICKD_ARGUMENTS": "{"}, "BRICKD_ARGUMENTS: .*line 1.*"),
            (["script", "x"], {"BRICKD_ARGUMENTS": '{"a": 1}'}, "BRICKD_ARGUMENTS is not a JSON list"),
            (["class", "x"], {"BRICKD_ARGUMENTS": "[1]"}, "BRICKD_ARGUMENTS is not a JSON object"),
            (["script", script(AIO)], {"BRICKD_SOCKET": "/nowhere/socket"}, "cannot listen on /nowhere/socket"),
            (["class", "guard:Pii"], {}, "brickd-python needs the Python module llmbrick: run `.*python.* -m pip install "
                                         "llmbrick`, .*")):
        running = Runner(*args, env=env)
        eq(running.ended(), 1, args)
        assert re.fullmatch(expected, running.lines[-1]), (args, running.lines)
    running = Runner("script", "x", python="/usr/bin/python3", env={"PYTHONPATH": without_grpc()})
    eq((running.ended(), len(running.lines)), (1, 1), running.lines)
    assert running.lines[0].startswith("brickd-python needs the Python module grpc: run `/usr/bin/python3 -m pip install "
                                       "grpcio`"), running.lines


def without_grpc():
    """A directory for PYTHONPATH that hides grpcio."""
    folder = temp_dir()
    with open(os.path.join(folder, "grpc.py"), "w") as f:
        f.write("raise ModuleNotFoundError('', name='grpc')\n")
    return folder


# ---- functions of the runner, in this process


def load_runner():
    loader = importlib.machinery.SourceFileLoader("brickd_python", RUNNER)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("brickd_python", loader))
    loader.exec_module(module)
    return module


runner = load_runner()


class Base:
    """In BaseBrick's place, which the runner only asks for."""


class Pii(Base):
    def __init__(self, sensitivity, fast=False):
        if sensitivity > 1:
            raise ValueError("sensitivity")
        self.sensitivity = sensitivity


def failure(function, *args):
    try:
        return function(*args)
    except runner.Failure as e:
        return str(e)


@test
def what_is_found_in_a_module():
    module = types.ModuleType(__name__)
    module.Pii, module.ready, module.inner, module.Base = Pii, Pii(1), types.SimpleNamespace(Pii=Pii), object
    find = lambda name: failure(runner.find, module, "bricks", name, Base)  # noqa: E731
    eq(find("Pii"), Pii)
    eq(find("inner.Pii"), Pii)
    eq(find("Pi"), "bricks has no Pi; its bricks: Pii, ready")
    eq(find("inner.Pi"), "bricks has no inner.Pi; its bricks: Pii, ready")


@test
def how_a_brick_is_made():
    make = lambda thing, **arguments: failure(runner.make_brick, thing, "m:x", arguments, Base)  # noqa: E731
    brick = Pii(1)
    eq(make(Pii, sensitivity=0.5).sensitivity, 0.5)
    eq(make(lambda: brick), brick)
    eq(make(brick), brick)
    eq(make(brick, a=1), "m:x is a brick and takes no `arguments`: name its class")
    eq(make(5), "m:x is of type int: name a class, a function or a brick")
    eq(make(Pii, sensitivty=1),
       "m:x(sensitivity, fast=False): missing a required argument: 'sensitivity'; correct `arguments`")
    eq(make(Pii, sensitivity=1, slow=2),
       "m:x(sensitivity, fast=False): got an unexpected keyword argument 'slow'; correct `arguments`")
    eq(make(Pii, sensitivity=2), "m:x: ValueError: sensitivity\n")


@test
def what_is_imported():
    folder = temp_dir()
    file = os.path.join(folder, "my-brick.py")
    with open(file, "w") as f:
        f.write("import json\nVALUE = 5\n")
    eq(runner.import_module(file).VALUE, 5)
    eq(sys.path.pop(0), folder)
    eq(failure(runner.import_module, "no_such.brick"),
       "there is no Python module no_such: set `path` to the directory that has it")
    eq(failure(runner.import_module, "json.no_such"),
       "there is no Python module json.no_such: set `path` to the directory that has it")
    eq(failure(runner.import_module, "./no-such.py"), "there is no file ./no-such.py")


main()
