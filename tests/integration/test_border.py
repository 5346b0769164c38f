#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_border.py BRICKD FAKE_WORKER CONTROL_CLIENT: what a worker says is checked where it arrives.

The workers are fake-worker.c's, which lie as lies.c says. More of that by hand:
LIES_SECONDS=600 LIES_SEED=7 python3 tests/integration/test_border.py BRICKD FAKE_WORKER CONTROL_CLIENT lies_hurt_nobody_else"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

from ports import free_port
from stopwatch import Stopwatch
from test_manager import BRICKD, FAKE_WORKER, LIMIT, Brickd, main, wait_for

TESTS = []
NOTIFY_MAX = 4096  # bytes that systemd reads of one notification
SECONDS = float(os.environ.get("LIES_SECONDS", "12"))
SEED = int(os.environ.get("LIES_SEED", "1"))
with open(BRICKD, "rb") as _program:
    SANITIZED = b"__asan_init" in _program.read()
# AddressSanitizer keeps what has been freed: so little that memory that grows is seen.
SMALL_QUARANTINE = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}


def test(function):
    TESTS.append(function)
    return function


def resident(d):
    with open(f"/proc/{d.process.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024


def descriptors(d):
    return len(os.listdir(f"/proc/{d.process.pid}/fd"))


def controls(text):
    return re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


# Wake-ups that find the channel full


@test
def ready_is_heard_although_the_channel_is_full():
    with Brickd("slow-start 500", "wake 5000", starts=False, start_timeout="10s") as d:
        d.start()
        wait_for(lambda: os.path.exists(f"/proc/{d.process.pid}/task/{d.process.pid}/children")
                 and open(f"/proc/{d.process.pid}/task/{d.process.pid}/children").read(), "a worker")
        d.signal(signal.SIGSTOP)
        time.sleep(1.5)
        d.signal(signal.SIGCONT)
        d.wait_notified("READY=1")
        d.stop()


@test
def a_stop_is_heard_although_the_channel_is_full():
    with Brickd("deaf 2500") as d:
        for _ in range(150):  # each wakes, several times, a worker that does not read
            assert d.call("LogLevel", "info", "first", "")[0] == 0
            assert d.call("LogLevel", "debug", "", "")[0] == 0
        d.stop()
        assert "had to be killed" not in d.text()


@test
def a_retired_worker_is_told_although_the_channel_is_full():
    with Brickd("deaf 2500", drain="{ retire: 60s }") as d:
        for _ in range(300):
            assert d.call("LogLevel", "info", "first", "")[0] == 0
        assert d.reload(wait=True)[0] == 0, "it would have a minute"


# Texts


@test
def texts_of_a_worker_are_few_and_short():
    with Brickd(env=SMALL_QUARANTINE) as d:
        d.configure("fail")
        assert d.reload()[0] == 1  # what a reload takes for itself is not measured
        before = resident(d)
        d.configure("long-mistakes")
        code, text = d.reload()
        assert code == 1 and text.startswith("org.brickd.Error.Config: "), text[:200]
        assert len(text) < 80000 and max(map(len, text.splitlines())) < 4200, len(text)
        assert re.search(r"and \d+ more$", text), text[-100:]
        assert resident(d) - before < 4 << 20, resident(d) - before
        assert len(d.wait_notified("the last reload failed").encode()) < NOTIFY_MAX
        assert d.status()["last_reload"]["ok"] is False
        assert d.ask(d.port())[0] == 1


@test
def texts_of_a_worker_are_made_harmless():
    with Brickd() as d:
        d.configure("strange-mistake")
        code, text = d.reload()
        assert code == 1 and "caf? is no word" in text, text
        assert not controls(text), text
        assert "two lines\n    3 | one 2026-01-01T" in text, text
        assert "caf?" in d.status()["last_reload"]["text"]
        d.wait_notified("caf? is no word")
        d.stop()
        d.wait_log(f"{d.file}: 2026-01-01T00:00:00.000Z error Worker 0 died")
        assert not controls(d.text()), d.text()
        assert not any(line.startswith("2026-01-01") for line in d.text().splitlines()), d.text()


@test
def paths_may_be_any_bytes():
    with Brickd(starts=False) as d:
        strange = os.fsencode(d.path) + b"/caf\xe9-\x1b[31m.yaml"
        shutil.copy(d.file, strange)
        with open(d.log, "wb") as log:
            d.process = subprocess.Popen([BRICKD, "-c", strange], stdout=log, stderr=log,
                                         env=d.environment())
        d.wait_notified("READY=1")
        assert d.status()["config"].endswith("/caf\ufffd-\x1b[31m.yaml"), d.status()["config"]
        with open(strange, "w") as f:
            f.write("ports: nonsense\n")
        code, text = d.reload()
        assert code == 1 and "/caf?-?[31m.yaml:1:8: " in text, text
        assert "caf?" in d.status()["last_reload"]["text"]
        d.stop()
        d.wait_log("caf?", ":1:8: ")
        assert not controls(d.text()), d.text()


@test
def names_of_processes_may_be_any_bytes():
    port = free_port()
    holder = subprocess.Popen([sys.executable, "-c", f"""
import ctypes, socket, time
ctypes.CDLL(None).prctl(15, "\\x1b[31ms-d-\u00e9t\u00e9\u00e9".encode(), 0, 0, 0)
with socket.create_server(("127.0.0.1", {port})):
    print("holds", flush=True)
    time.sleep(60)
"""], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        with open(f"/proc/{holder.pid}/comm", "rb") as f:
            comm = f.read()
        assert comm.rstrip(b"\n")[-1:] == b"\xc3", comm
        with Brickd() as d:
            d.configure(ports=["127.0.0.1:0", f"127.0.0.1:{port}"])
            code, text = d.reload()
            assert code == 1 and f"it is held by ?[31ms-d-\u00e9t\u00e9? (pid {holder.pid})" in text, text
            assert "it is held by" in d.status()["last_reload"]["text"]
            d.stop()
            assert not controls(text) and not controls(d.text())
    finally:
        holder.kill()
        holder.wait()


# Descriptors


@test
def descriptors_of_a_worker_are_closed():
    with Brickd() as d:
        assert d.status()["workers"][0]["status"] == {"connections": 7, "in_flight": 3}
        d.configure("send-descriptors")
        before = descriptors(d)
        assert d.reload()[0] == 0
        wait_for(lambda: descriptors(d) <= before, lambda: f"{before} instead of {descriptors(d)} descriptors")


# Lies


def number(digits):
    assert int(digits) < 1 << 63, "more than most readers of JSON take"
    return int(digits)


class Lies:
    """A brickd with an honest worker, number 0, and others that lie: what must be so of it.

    Its status is null as long as it has been too slow to answer."""

    def __init__(self, d, metrics):
        self.d, self.metrics = d, metrics
        self.lives = 0

    def check(self):
        d = self.d
        assert d.process.poll() is None, f"the main process has ended: {d.text()[-3000:]}"
        code, text = d.call("Status")
        assert code == 0, text
        status = json.loads(text, parse_int=number)
        honest = [w for w in status["workers"] if w["index"] == 0 and w["generation"] == status["generation"]]
        assert len(honest) == 1 and honest[0]["state"] == "ready" and honest[0]["restarts"] == 0, honest
        assert honest[0]["status"] in (None, {"connections": 7, "in_flight": 3}), honest
        assert d.ask(d.port())[0] == status["generation"]
        assert [b["name"] for b in status["bricks"]] == ["first"], status["bricks"]
        code, text = d.call("Stats")
        assert code == 0 and json.loads(text, parse_int=number)["state"] == "serving"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=LIMIT) as reply:
            page = reply.read().decode()
        assert set(re.findall(r'brick="([^"]*)"', page)) <= {"first"}, page

    def check_log(self):
        text = self.d.text()
        assert not controls(text), text
        blamed = set(re.findall(r"brick '([^']*)'", text))
        assert blamed <= {"first"}, blamed
        deaths = re.findall(r"Worker (\d+) \(pid", text)
        assert deaths and "0" not in deaths, deaths
        self.lives = len(deaths)


LIARS = {"workers": 4, "log": "{ format: text, level: info }", "drain": "{ retire: 1s, grace: 1s }"}


@test
def lies_hurt_nobody_else():
    metrics = free_port()
    keys = LIARS | {"metrics": f"{{ listen: '127.0.0.1:{metrics}' }}"}
    with Brickd(f"lie-when-asked {SEED}", env=SMALL_QUARANTINE, **keys) as d:
        lies = Lies(d, metrics)
        watch = Stopwatch()
        while watch.elapsed().seconds < SECONDS / 3:
            lies.check()
        fds, memory = descriptors(d), []
        while watch.elapsed().seconds < SECONDS or len(memory) < 2:
            d.configure(f"lie-at-once {SEED}", **keys)
            code, text = d.reload(wait=False)  # all of them may happen to say that they are ready
            assert d.status()["last_reload"]["ok"] is (code == 0), text
            lies.check()
            d.configure(f"lie-when-asked {SEED}", **keys)
            code, text = d.reload(wait=False)
            assert code == 0, text
            for _ in range(10):
                lies.check()
            memory.append(resident(d))
        wait_for(lambda: descriptors(d) <= fds + 20, lambda: f"{descriptors(d)} descriptors, {fds} at first")
        grown = resident(d) - memory[0]  # two generations side by side have it grow once
        d.stop()
        lies.check_log()
        print(f"# seed {SEED}, {lies.lives} workers that lied, {grown >> 10} KiB more")
        assert grown < (64 if SANITIZED else 16) << 20, grown


@test
def a_real_worker_beside_liars_lives():
    import grpc  # pylint: disable=import-outside-toplevel

    port, folder = free_port(), os.path.dirname(BRICKD)
    with Brickd(starts=False) as d:
        worker = d.path / "worker"
        worker.write_text(f"""#!/bin/sh
case "$*" in
*"--worker 0"*) exec {folder}/brickd-worker "$@" ;;
*) exec {FAKE_WORKER} "$@" ;;
esac
""")
        worker.chmod(0o755)
        identities = d.path / "identities.yaml"
        identities.write_text(f"""identities:
  - {{ name: web, token: "sha256:{hashlib.sha256(b'secret').hexdigest()}", allow: ["*"], rate: 100, concurrency: 4 }}
""")
        identities.chmod(0o600)
        d.extra_env = {"BRICKD_WORKER": str(worker)}
        d.configure(text=f"""# fake: lie-when-asked {SEED}
workers: 3
ports: [{{ listen: "127.0.0.1:{port}", authenticate: calls }}]
identities: {identities}
bricks: [{{ name: first, module: {folder}/bricks/echo.so, options: {{ type: LLM }} }}]
control: {d.control}
""")
        d.start()
        d.wait_notified("READY=1")
        (pid,) = (w["pid"] for w in d.status()["workers"] if w["index"] == 0)
        codes, watch = set(), Stopwatch()
        while watch.elapsed().seconds < SECONDS / 3:
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                method = channel.unary_unary("/protocols.grpc.llm.LLMService/Unary")
                for _ in range(20):
                    future = method.future(b"", metadata=[("authorization", "Bearer secret")], timeout=LIMIT)
                    codes.add(future.code().name)
            assert [w["pid"] for w in d.status()["workers"] if w["index"] == 0] == [pid]
        # those that lie take connections before they begin to, and refuse what others count
        assert codes <= {"OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}, codes
        assert codes & {"OK", "RESOURCE_EXHAUSTED"}, codes
        d.stop()
        assert "Worker 0" not in d.text(), d.text()


if __name__ == "__main__":
    sys.exit(main(TESTS))
