# SPDX-License-Identifier: MIT
"""Bricks that run in processes of their own: module `process`."""
import concurrent.futures
import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time


from harness import BUILD, SOURCE, Brickd, Stopwatch, call, eq, main, path, stream, temp_dir, test, wait_for

PROGRAM = os.path.join(SOURCE, "tests", "integration", "llm_program.py")
UNARY, OUT = path("LLM", "Unary"), path("LLM", "OutputStreaming")
AT_ONCE = "drain: { retire: 100ms }"  # a worker that is replaced exits soon
ECHO = f"  - {{ name: echo, module: {BUILD}/src/bricks/echo.so, options: {{ type: Rectify }} }}\n"


def brick(options="", more="", mode="", name="llm", command=f"[{sys.executable}, {PROGRAM}]"):
    return (f"  - {{ name: {name}, module: process, {more}, options: {{ type: LLM, command: {command}, "
            f"environment: {{ MODE: '{mode}' }}, {options} }} }}\n").replace(", ,", ",").replace(", }", " }")


def request(prompt):
    prompt = prompt.encode()
    return b"\x12" + bytes([len(prompt)]) + prompt


def text(reply):
    """The text of an LLMResponse of fewer than 16384 bytes."""
    n, at = reply[1], 2
    if n > 127:
        n, at = n & 127 | reply[2] << 7, 3
    return reply[at:at + n].decode()


def ask(channel, prompt, **keys):
    reply, status, details, _ = call(channel, UNARY, request(prompt), **keys)
    eq(status, "OK", f"{prompt}: {details}")
    return text(reply)


def processes(running, name="llm"):
    status = json.loads(running.ctl("status", "--json").stdout)
    return [p for p in status["processes"] if p["brick"] == name]


def pids(running, name="llm"):
    return [p["pid"] for p in processes(running, name)]


def use_all(channel, numbers):
    """Waits until the worker has a connection to each of them: before, the others get all calls."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wait_for("calls for each", lambda: set(pool.map(lambda _: ask(channel, "pid"), range(8))) == set(map(str, numbers)))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def of_group(pid):
    """The processes of the group that are not dead."""
    group = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            if entry.isdigit() and fields[0] != "Z" and int(fields[2]) == pid:
                group.append(int(entry))
    return group


@test
def calls_and_streams_pass():
    with Brickd(brick()) as running:
        channel = running.channel()
        pid, = pids(running)
        eq(ask(channel, "pid"), str(pid))
        eq(ask(channel, "hello"), "hello")
        replies, status, _ = stream(channel, OUT, request("word"))
        eq((status, [text(r) for r in replies]), ("OK", ["word", "word"]))
        eq(call(channel, UNARY, request("env BRICKD_WORKER"))[0] is not None, True)
        eq(ask(channel, "env BRICKD_WORKER"), "none", "brickd's own variables stay with it")
        eq(ask(channel, "cwd"), os.path.realpath(running.dir))
        state, = processes(running)
        eq((state["state"], state["restarts"]), ("ready", 0))
    running.says("stopped in order")
    eq(alive(pid), False)
    assert "died" not in running.log(), running.log()


@test
def several_processes_share_the_calls():
    with Brickd(brick("processes: 3")) as running:
        channel = running.channel()
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            list(pool.map(lambda _: ask(channel, "sleep 0.2"), range(9)))
        use_all(channel, pids(running))
        eq({ask(channel, "pid") for _ in range(3)}, {str(p) for p in pids(running)}, "those with equally few take turns")


@test
def workers_share_the_processes_and_a_reload_keeps_them():
    with Brickd(brick() + ECHO, extra="workers: 2\n" + AT_ONCE) as running:
        before = pids(running)
        eq(len(before), 1)
        running.write(brick() + ECHO.replace("echo,", "other,"))
        running.ctl("reload", "--wait")
        eq(pids(running), before)
        eq(ask(running.channel(), "pid"), str(before[0]))
        running.write(brick(more="limits: { concurrency: 5 }") + ECHO)
        running.ctl("reload", "--wait")
        eq(pids(running), before, "limits are not of the process")
        running.write(brick("grace: 3s") + ECHO)
        running.ctl("reload", "--wait")
        wait_for("another process alone", lambda: len(pids(running)) == 1)
        assert pids(running) != before
        eq(alive(before[0]), False)
        running.write(ECHO)
        running.ctl("reload", "--wait")
        wait_for("the end of the process", lambda: not pids(running))


@test
def a_changed_source_is_noticed_at_a_reload():
    folder = temp_dir()
    copy = os.path.join(folder, "brick.py")
    with open(PROGRAM) as original, open(copy, "w") as f:
        f.write(original.read())
    bricks = brick(command=f"[{sys.executable}, {copy}]")
    with Brickd(bricks, extra=AT_ONCE) as running:
        before = pids(running)
        running.ctl("reload", "--wait")
        eq(pids(running), before)
        os.utime(copy, (1, 1))
        running.ctl("reload", "--wait")
        wait_for("another process alone", lambda: len(pids(running)) == 1)
        assert pids(running) != before


@test
def a_process_that_cannot_start_fails_the_reload():
    with Brickd(brick(), extra=AT_ONCE) as running:
        before = pids(running)
        running.write(brick(mode="fail"))
        done = running.ctl("reload", check=False)
        eq(done.returncode, 1)
        assert "process 0 of brick 'llm' (pid" in done.stderr, done.stderr
        assert "exited with status 1 before it was ready: RuntimeError: there is no model" in done.stderr, done.stderr
        eq(ask(running.channel(), "pid"), str(before[0]), "the old one serves on")
        running.write(brick("start_timeout: 500ms", mode="slow"))
        done = running.ctl("reload", check=False)
        assert "was killed: it was not ready within 0.5s" in done.stderr, done.stderr
        running.write(brick(command="[/bin/true]"))
        done = running.ctl("reload", check=False)
        assert "exited with status 0 before it was ready" in done.stderr, done.stderr
        running.write(brick())
        running.ctl("reload", "--wait")
        eq(pids(running), before)
        eq(running.whole_log().count("RuntimeError: there is no model"), 2, "its own line, and the verdict")


@test
def brickd_does_not_start_without_its_processes():
    running = Brickd(brick(mode="fail"))
    running.start(ready=False)
    eq(running.process.wait(30), 69)
    assert "RuntimeError: there is no model" in running.log(), running.log()
    running = Brickd(brick("processes: 3"), env={"BRICKD_EXEC": "/no/such/program"})
    running.start(ready=False)
    eq(running.process.wait(30), 69)
    assert "cannot be started by /no/such/program: No such file or directory" in running.log(), running.log()


def check(bricks):
    """Exit status of `brickd --check`, and what it says."""
    done = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--check", "-c", (it := Brickd(bricks)).config],
                          env=it.env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@test
def mistakes_are_located():
    def mistake(bricks):
        status, text = check(bricks)
        eq(status, 78)
        return text
    assert re.search(r"brickd.yaml:5:.*bricks\[0\].options.command\[0\]: there is no program \"no-such\" in ",
                     mistake(brick(command="[no-such]")))
    assert "unknown key; did you mean \"grace\"?" in mistake(brick("grase: 3s"))
    both = mistake(brick(command="[no-such]") + brick("grase: 3s", name="other"))
    assert "no-such" in both and "grase" in both, both
    eq(both.count("no-such\""), 1, both)
    eq(check(brick())[0], 0)
    if os.geteuid() == 0:
        assert "does not limit root" in mistake(brick("limits: { processes: 9 }"))


@test
def a_process_that_dies_is_started_again():
    with Brickd(brick("processes: 2")) as running:
        channel = running.channel()
        before = pids(running)
        use_all(channel, before)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(call, channel, UNARY, request("sleep 1.5")) for _ in range(8)]
            time.sleep(0.5)
            os.kill(before[0], signal.SIGKILL)
            results = [w.result() for w in waiting]
        lost = [r for r in results if r[1] != "OK"]
        eq(len(lost), 4, f"only the calls of that process fail: {results}")
        for _, status, details, _ in lost:
            eq((status, details), ("UNAVAILABLE", "The process of brick 'llm' has died"))
        running.says("died of SIGKILL: started; starting it again in 0.1s")
        wait_for("two processes", lambda: all(p["state"] == "ready" for p in processes(running)))
        after = processes(running)
        eq(sorted(p["restarts"] for p in after), [0, 1])
        eq(before[1] in [p["pid"] for p in after], True)


@test
def a_request_that_ends_its_process_ends_no_other():
    with Brickd(brick("processes: 2")) as running:
        before = pids(running)
        _, status, details, _ = call(running.channel(), UNARY, request("die"))
        eq((status, details), ("UNAVAILABLE", "The process of brick 'llm' has died"))
        running.says("died of SIGKILL")
        eq(len([p for p in before if alive(p)]), 1)


@test
def calls_wait_for_a_process_that_is_away_for_a_moment():
    strict = "limits: { queue: 0 }, match: { x-brick: strict }"
    away = f"[sh, -c, 'test -e away && exec sleep 60; exec {sys.executable} {PROGRAM}']"
    with Brickd(brick(more="default: true") + brick(name="strict", more=strict, command=away)) as running:
        channel = running.channel()
        pid, = pids(running)
        os.kill(pid, signal.SIGKILL)
        running.says("died of SIGKILL")
        again = ask(channel, "pid")
        assert again != str(pid)
        pid, = pids(running, "strict")
        with open(os.path.join(running.dir, "away"), "w"):  # for longer than the log needs to say it
            pass
        os.kill(pid, signal.SIGKILL)
        running.says(f"brick 'strict' (pid {pid}) died of SIGKILL")
        _, status, details, _ = call(channel, UNARY, request("pid"), metadata=[("x-brick", "strict")])
        eq(status, "UNAVAILABLE", details)


@test
def one_that_fails_on_and_on_is_tried_less_and_less():
    with Brickd(brick(mode="", command=f"[sh, -c, 'test -e {{DIR}}/broken && exit 7; exec {sys.executable} {PROGRAM}']"
                      .replace("{DIR}", "$PWD"))) as running:
        with open(os.path.join(running.dir, "broken"), "w"):
            pass
        channel = running.channel()
        os.kill(pids(running)[0], signal.SIGKILL)
        for delay in ("0.1s", "0.2s", "0.4s", "0.8s"):
            running.says(f"starting it again in {delay}")
        _, status, details, _ = call(channel, UNARY, request("pid"))
        eq((status, details), ("UNAVAILABLE", "No process of this brick serves now"))
        assert "llm is not healthy: its process is not ready" in running.ctl("status").stdout
        os.unlink(os.path.join(running.dir, "broken"))
        running.ctl("restart", "llm")
        ask(channel, "pid")


@test
def what_it_writes_is_logged():
    with Brickd(brick(), extra="log: { format: json }") as running:
        with contextlib.suppress(AssertionError):
            ask(running.channel(), "trace")
        log = running.says("starting it again")
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        ours = [line for line in lines if line.get("brick") == "llm" and "brick_pid" in line]
        texts = [line["message"] for line in ours]
        trace = texts.index("Traceback (most recent call last):")
        assert "about to fail" in texts, texts
        end = next(i for i, line in enumerate(lines) if "exited with status 3" in line["message"])
        assert lines.index(ours[trace]) < end, "the traceback comes before the exit"
        assert "exited with status 3: RuntimeError: the model has gone" in lines[end]["message"], lines[end]


@test
def a_flood_of_lines_delays_nothing():
    with Brickd(brick() + ECHO) as running:
        channel = running.channel()
        flood = threading.Thread(target=ask, args=(channel, "print 300000 " + 60 * "x"))
        flood.start()
        done = 0
        while flood.is_alive():
            watch = Stopwatch()
            eq(ask(channel, "hello"), "hello")
            assert watch.elapsed().running < 2
            done += 1
        assert done > 3, done
        running.says("more lines were not logged")
        dropped = processes(running)[0]["lines_dropped"]
        logged = running.whole_log().count(60 * "x")
        assert dropped > 100000 and dropped + logged >= 299000, (dropped, logged)


@test
def one_that_is_silent_is_ended_with_its_group():
    with Brickd(brick("ready: notify, hang_timeout: 1s", mode="notify,helper")) as running:
        state, = processes(running)
        eq(state["status"], "one model is loaded")
        pid = state["pid"]
        eq(len(of_group(pid)), 2)
        ask(running.channel(), "hang")
        running.says("was killed: it was silent for 1s")
        wait_for("the end of its group", lambda: not of_group(pid))
        ask(running.channel(), "pid")


@test
def one_that_does_not_stop_is_killed():
    with Brickd(brick("grace: 500ms", mode="stubborn,helper")) as running:
        pid, = pids(running)
    assert "was killed: it did not exit within 0.5s of SIGTERM" in running.log(), running.log()
    eq(of_group(pid), [])


@test
def a_stop_does_not_wait_for_what_starts():
    running = Brickd(brick(mode="slow"))
    running.start(ready=False)
    running.says("started")
    status, took = running.stop()
    eq(status, 0)
    assert took.running < 5, took


@test
def a_second_signal_does_not_wait_for_the_grace():
    with Brickd(brick("grace: 1m", mode="stubborn")) as running:
        running.send(signal.SIGTERM)
        running.says("Stopping")
        status, took = running.stop()
        eq(status, 0)
        assert took.running < 10, took
    assert "did not exit" not in running.log(), running.log()


@test
def they_die_with_brickd():
    with Brickd(brick("processes: 2"), env={"TMPDIR": temp_dir()}) as running:  # what is left there
        before = pids(running)
        running.process.kill()
        running.process.wait()
        wait_for("the end of the processes", lambda: not any(alive(p) for p in before))


@contextlib.contextmanager
def under_load(channel):
    """Calls without pause: none of them may fail."""
    stopping, lost, done = threading.Event(), [], []

    def load():
        while not stopping.is_set():
            _, status, details, _ = call(channel, UNARY, request("sleep 0.01"))
            (done if status == "OK" else lost).append((status, details))

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield done
    finally:
        stopping.set()
        for client in clients:
            client.join()
    eq(lost, [])
    assert len(done) > 10


@test
def a_reload_that_replaces_the_process_loses_no_call():
    with Brickd(brick()) as running:
        before = pids(running)
        with under_load(running.channel()):
            running.write(brick("ready: notify", mode="notify"))
            running.ctl("reload", "--wait")
        wait_for("the end of the old one", lambda: not set(before) & set(pids(running)))


@test
def a_worker_that_dies_takes_no_process_with_it():
    with Brickd(brick()) as running:
        before = pids(running)
        worker, = set(running.workers()) - set(before)
        os.kill(worker, signal.SIGKILL)
        running.says("starting it again")
        wait_for("a call", lambda: call(running.channel(), UNARY, request("pid"))[1] == "OK")
        eq(pids(running), before)


@contextlib.contextmanager
def late(pid):
    """The main thread of a process comes to nothing before 0.4 s are over, as on a very busy machine."""
    waits = "epoll_wait,epoll_pwait,epoll_pwait2"
    tracer = subprocess.Popen(["strace", "-p", str(pid), "-o", os.devnull, "-e", f"trace={waits}",
                               "-e", f"inject={waits}:delay_exit=400000"], stderr=subprocess.PIPE, text=True)
    assert "attached" in tracer.stderr.readline()
    try:
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def loses_no_call_by_a_restart(running, pause):
    before, calls = pids(running), running.channel()
    worker, = set(running.workers()) - set(before)
    with pause(worker), under_load(calls) as done:
        wait_for("calls", lambda: len(done) > 10)
        many = f"{len(before)} process{'es' if len(before) > 1 else ''}"
        eq(running.ctl("restart", "llm").stdout, f"restarted {many}\n")
    assert not set(before) & set(pids(running))


@test
def a_restart_takes_one_after_the_other():
    with Brickd(brick()) as running:
        loses_no_call_by_a_restart(running, contextlib.nullcontext)
        loses_no_call_by_a_restart(running, late)
    with Brickd(brick("processes: 2")) as running:
        loses_no_call_by_a_restart(running, late)
        eq(running.ctl("restart", "absent", check=False).stderr, "no brick 'absent' runs in processes of its own\n")


@test
def limits_hold():
    with Brickd(brick("limits: { memory: 300MiB, files: 64 }, directory: /")) as running:
        channel = running.channel()
        eq(ask(channel, "allocate 500"), "MemoryError")
        eq(ask(channel, "open 100"), "Too many open files")
        eq(ask(channel, "cwd"), "/")
        eq(ask(channel, "pid"), str(pids(running)[0]), "it lives on")


@test
def another_user_where_brickd_may():
    if os.geteuid() != 0:
        return
    with Brickd(brick("user: nobody, limits: { processes: 100 }, directory: /",
                      command="[/usr/bin/python3, -c, 'exec(open(0).read())']")
                .replace("exec(open(0).read())", open_program())) as running:
        channel = running.channel()
        eq(ask(channel, "uid"), str(pwd.getpwnam("nobody").pw_uid))
        eq(ask(channel, "env USER"), "nobody")
        eq(ask(channel, "threads 200"), "can't start new thread")


def open_program():
    """The program, where every user can read it, as an argument in YAML."""
    folder = temp_dir()
    os.chmod(folder, 0o755)
    copy = os.path.join(folder, "program.py")
    with open(PROGRAM) as original, open(copy, "w") as f:
        f.write(original.read())
    os.chmod(copy, 0o644)
    return f"exec(open(\"{copy}\").read())"


SCRIPT = """
import asyncio, os, sys
import grpc, grpc.aio
import helper

async def unary(request, context):
    return helper.reply(" ".join([os.environ["KEY"], *sys.argv[1:]]))

async def main():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "protocols.grpc.llm.LLMService", {"Unary": grpc.unary_unary_rpc_method_handler(unary)}),))
    server.add_insecure_port("[::]:50051")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()

asyncio.run(main())
"""
HELPER = """
def reply(text):
    return b"\\x0a" + bytes([len(text)]) + text.encode() + b"\\x22\\x03\\x08\\xc8\\x01"
"""


@test
def a_python_script_is_served():
    bricks = """
  - name: llm
    module: python
    options:
      type: LLM
      script: bricks/serve.py
      argv: [--model, 7]
      python: PYTHON
      path: lib
      environment: { KEY: { file: key } }
""".replace("PYTHON", sys.executable)
    running = Brickd(bricks, extra=AT_ONCE)
    for name, content in {"bricks/serve.py": SCRIPT, "lib/helper.py": HELPER, "key": "secret"}.items():
        os.makedirs(os.path.dirname(os.path.join(running.dir, name)), exist_ok=True)
        with open(os.path.join(running.dir, name), "w") as f:
            f.write(content)
        os.chmod(os.path.join(running.dir, name), 0o600)
    with running:
        eq(ask(running.channel(), "x"), "secret --model 7")
        before = pids(running)
        running.ctl("reload", "--wait")
        eq(pids(running), before)
        with open(os.path.join(running.dir, "lib", "helper.py"), "w") as f:
            f.write(HELPER.replace("text.encode()", "text.upper().encode()"))
        running.ctl("reload", "--wait")
        eq(ask(running.channel(), "x"), "SECRET --MODEL 7")
        with open(os.path.join(running.dir, "lib", "helper.py"), "w") as f:
            f.write("import no_such_module\n")
        done = running.ctl("reload", check=False)
        eq(done.returncode, 1)
        assert "no_such_module" in done.stderr, done.stderr
        eq(ask(running.channel(), "x"), "SECRET --MODEL 7")


@test
def a_script_that_does_not_come_to_serve():
    """The verdict is the last thing that it was doing, not what SIGABRT has made it write."""
    running = Brickd(f"""
  - name: llm
    module: python
    options: {{ type: LLM, script: hangs.py, python: {sys.executable}, start_timeout: 3s }}
""")
    with open(os.path.join(running.dir, "hangs.py"), "w") as f:
        f.write("import time\ntime.sleep(1000)\n")
    running.start(ready=False)
    running.process.wait(30)
    assert running.log().endswith(f"was not ready within 3s: running {running.dir}/hangs.py\n"), running.log()
    assert "hangs.py\", line 2" in running.log(), "its stack"


@test
def metrics_count_them():
    extra = "metrics: { listen: unix:{DIR}/metrics }"
    running = Brickd(brick("processes: 2"))
    running.extra = extra.replace("{DIR}", running.dir)
    running.write(brick("processes: 2"))
    with running:
        os.kill(pids(running)[0], signal.SIGKILL)
        running.says("died of SIGKILL")
        wait_for("two processes", lambda: all(p["state"] == "ready" for p in processes(running)))
        page = scrape(os.path.join(running.dir, "metrics"))
        assert 'brickd_brick_process_ready{brick="llm",process="0"} 1' in page, page
        assert 'brickd_brick_process_restarts_total{brick="llm",process="0"} 1' in page, page
        assert 'brickd_brick_process_restarts_total{brick="llm",process="1"} 0' in page, page
        assert re.search(r'brickd_brick_process_resident_memory_bytes{brick="llm",process="1"} \d{7}', page), page


def scrape(socket_path):
    import socket
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(socket_path)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).decode()


main()
