# SPDX-License-Identifier: MIT
"""A program that serves the LLM service on $BRICKD_SOCKET, for tests of the module `process`. A prompt is a command:

  pid                 the number of the process            env NAME       a variable of the environment
  sleep SECONDS       answers later                        print N TEXT   writes lines to stdout, as fast as it can
  die                 is killed by SIGKILL                 trace          ends by an exception
  allocate MIB        takes memory                         open N         opens files
  threads N           starts threads that sleep            hang           no longer feeds its watchdog
  cwd, uid            where, and who it is                 anything else  is echoed

$MODE says what else to do: notify, fail, slow, stubborn, helper."""
import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc

MODE = os.environ.get("MODE", "").split(",")
SUCCESS = b"\x22\x03\x08\xc8\x01"  # error { code: 200 }
HUNG = threading.Event()
KEPT = []


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


def reply(text):
    text = text.encode()
    n = len(text)
    return b"\x0a" + (bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])) + text + SUCCESS


def end_by_exception():
    def raise_it():
        print("about to fail", flush=True)
        try:
            raise RuntimeError("the model has gone")
        except RuntimeError:
            sys.excepthook(*sys.exc_info())
            os._exit(3)
    threading.Thread(target=raise_it).start()
    time.sleep(10)


def execute(prompt):
    word, _, rest = prompt.partition(" ")
    if word == "pid":
        return str(os.getpid())
    if word == "env":
        return os.environ.get(rest, "none")
    if word == "sleep":
        time.sleep(float(rest))
    elif word == "print":
        n, _, text = rest.partition(" ")
        for _ in range(int(n)):
            os.write(1, text.encode() + b"\n")
    elif word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "trace":
        end_by_exception()
    elif word == "allocate":
        try:
            KEPT.append(bytearray(int(rest) << 20))
        except MemoryError:
            return "MemoryError"
    elif word == "open":
        try:
            KEPT.extend([open("/dev/null") for _ in range(int(rest))])
        except OSError as e:
            return e.strerror
    elif word == "threads":
        try:
            for _ in range(int(rest)):
                threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        except RuntimeError as e:
            return str(e)
    elif word == "hang":
        HUNG.set()
    elif word == "cwd":
        return os.getcwd()
    elif word == "uid":
        return str(os.getuid())
    return prompt


def unary(request, context):
    return reply(execute(request[2:].decode()))


def output_streaming(request, context):
    prompt = request[2:].decode()
    yield reply(prompt)
    yield reply(execute(prompt))


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/protocols.grpc.llm.LLMService/Unary":
            return grpc.unary_unary_rpc_method_handler(unary)
        if details.method == "/protocols.grpc.llm.LLMService/OutputStreaming":
            return grpc.unary_stream_rpc_method_handler(output_streaming)
        return None


def main():
    print("started", flush=True)
    if "fail" in MODE:
        raise RuntimeError("there is no model")
    if "slow" in MODE:
        time.sleep(1000)
    if "helper" in MODE:
        KEPT.append(subprocess.Popen(["sleep", "1000"]))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), handlers=[Handler()])
    server.add_insecure_port("unix:" + os.environ["BRICKD_SOCKET"])
    stopping = threading.Event()

    def on_term(number, frame):
        if "stubborn" not in MODE:
            stopping.set()

    signal.signal(signal.SIGTERM, on_term)
    server.start()
    if "notify" in MODE:
        time.sleep(0.3)
        notify("READY=1\nSTATUS=one model is loaded\nWATCHDOG=1")
    while not stopping.wait(0.1):
        if "notify" in MODE and not HUNG.is_set():
            notify("WATCHDOG=1")
    server.stop(5).wait()
    print("stopped in order", flush=True)
    os._exit(0)


main()
