# SPDX-License-Identifier: MIT
"""What operators meet: what the log and the metrics say of connections that end early, of clients that ping, of a stop."""
import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

import grpc

import http2
from door import UNARY, brick
from harness import BUILD, LIBEXEC, Brickd, Skip, eq, free_port, main, temp_dir, test, wait_for
from pki import Authority

folder = temp_dir()
authority = Authority(os.path.join(folder, "pki"))
authority.issue("server")
TLS = (f'tls: {{ certificate: {authority.path("server.pem")}, key: {{ file: {authority.path("server.key")} }},'
       f' client_ca: {authority.path("ca.pem")} }}')
LIMITS = "limits: { handshake: 1s, keepalive: { client_interval: 1s, call_interval: 100ms } }"
GREETING = http2.PREFACE + http2.SETTINGS_FRAME + http2.frame(http2.SETTINGS, http2.ACK)
PING = http2.frame(http2.PING, 0, 0, b"whatever")
ENHANCE_YOUR_CALM = struct.pack(">I", 11)


def begin(stream=1, prompt=b"\x12\x01a", more=()):
    return (http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.request(UNARY, *more))
            + http2.frame(http2.DATA, http2.END_STREAM, stream, http2.message(prompt)))


class Watched(Brickd):
    def __init__(self, bricks, port_extra="", extra="", **more):
        self.metrics = free_port()
        super().__init__(bricks, port_extra=port_extra, extra=f'metrics: {{ listen: "127.0.0.1:{self.metrics}" }}\n{extra}', **more)

    def page(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20) as answer:
            return answer.read().decode()

    def rejected(self, port):
        """The reasons why something was refused on a port, and how often."""
        return {reason: int(n) for reason, n in re.findall(
            rf'brickd_rejected_total{{port="127.0.0.1:{port}",reason="(\w+)"}} (\d+)', self.page()) if n != "0"}

    def has_call(self):
        return re.search(r'brickd_brick_in_flight{brick="chat".*} 1', self.page())

    def counts(self, port, **expected):
        try:
            wait_for("the count", lambda: self.rejected(port) == expected, 20)
        except AssertionError:
            eq(self.rejected(port), expected, port)


def everything(c, limit=5):
    """What comes until the other end closes the connection."""
    c.socket.settimeout(limit)
    data = b""
    try:
        while piece := c.socket.recv(1 << 16):
            data += piece
    except TimeoutError:
        raise AssertionError(f"not closed: {data!r}") from None
    except OSError:
        pass
    return data


@test
def what_is_no_call_is_logged_and_counted():
    ports = {name: free_port() for name in ("wrong", "slow", "header", "tls", "web")}
    lines = [f'  - {{ listen: "127.0.0.1:{ports[name]}", {more} }}' for name, more in (
        ("wrong", LIMITS), ("slow", LIMITS), ("header", LIMITS), ("tls", f"{TLS}, {LIMITS}"),
        ("web", f"protocol: http, {TLS}, {LIMITS}"))]
    with Watched(brick(), "\n".join(lines)) as d:
        silent = [http2.Connection(ports[name], preface=b"") for name in ("slow", "tls", "web")]
        for paused in False, True:  # whoever leaves is not refused, also if the worker learns both at once
            for pid in d.workers() if paused else ():
                os.kill(pid, signal.SIGSTOP)
            for port in ports.values():
                http2.Connection(port, preface=b"").close()
            for name in "tls", "web":
                http2.Connection(ports[name], preface=b"\x16\x03\x01\x02\x00\x01").close()  # half a greeting
            for pid in d.workers() if paused else ():
                os.kill(pid, signal.SIGCONT)
        wrong = http2.Connection(ports["wrong"], preface=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wrong.is_closed()
        header = http2.Connection(ports["header"], preface=GREETING + begin(more=[(b"k-bin", b"!!!not base64")]))
        assert header.is_closed()
        for name in "tls", "web":
            c = http2.Connection(ports[name], preface=b"no TLS at all, but long enough to be a record of it")
            assert c.is_closed()
            nameless = socket.create_connection(("127.0.0.1", ports[name]))
            try:
                s = ssl._create_unverified_context().wrap_socket(nameless)
                eq(s.recv(1), b"")
            except OSError:
                pass
        for s in silent:
            assert s.is_closed()
        d.counts(ports["wrong"], protocol_error=1)
        d.counts(ports["slow"], handshake=1)
        d.counts(ports["header"], protocol_error=1, incomplete_request=1)
        d.counts(ports["tls"], tls=2, handshake=1)
        d.counts(ports["web"], tls=2, handshake=1)
        for why in ("TLS could not be established", "was not ready within limits.handshake", "is no valid HTTP/2"):
            d.says(why)
        assert re.search(r"Closed a connection of 127.0.0.1 to 127.0.0.1:\d+: ", d.log())
        said = [line for line in d.whole_log().splitlines() if "gRPC" in line and "Handshake failed" in line]
        assert all(f"of a connection of 127.0.0.1 to 127.0.0.1:{ports['tls']}: Handshake" in line for line in said) and said, said


@test
def a_client_with_a_call_may_ping():
    with Watched(brick(options="delay: 2s"), f'  - {{ listen: "127.0.0.1:{(port := free_port())}", {LIMITS} }}') as d:
        c = http2.Connection(port, preface=GREETING + begin())
        for _ in range(10):  # as often as a client without a call may not
            time.sleep(0.15)
            c.send(PING)
        c.ends(1)
        eq(d.rejected(port), {})
        c.close()
        c = http2.Connection(port, preface=GREETING + begin())
        wait_for("the call", d.has_call)
        for _ in range(6):
            c.send(PING)
        data = everything(c)
        assert ENHANCE_YOUR_CALM + b"too_many_pings" in data, data
        d.counts(port, ping_flood=1)
        d.says(f"Closed a connection of 127.0.0.1 to 127.0.0.1:{port}: it sent PINGs faster than limits.keepalive allows")


@test
def a_client_without_a_call_may_ping_less():
    with Watched(brick(), f'  - {{ listen: "127.0.0.1:{(port := free_port())}", {LIMITS} }}') as d:
        c = http2.Connection(port, preface=GREETING + begin())
        c.ends(1)
        for _ in range(3):
            c.send(PING)  # the first ones follow a reply, by which a client may measure
            time.sleep(0.15)
        for _ in range(4):
            time.sleep(0.15)
            c.send(PING)
        assert c.is_closed()
        d.counts(port, ping_flood=1)


@test
def keepalive_of_grpc_libraries_keeps_a_silent_call():
    with Brickd(brick(options="delay: 4s")) as d:
        channel = d.channel(**{"grpc.keepalive_time_ms": 1000, "grpc.http2.max_pings_without_data": 0})
        channel.unary_unary(UNARY)(b"\x12\x01a", timeout=20)


@test
def a_request_that_is_given_up_is_no_bad_request():
    with Watched(brick()) as d:
        c = http2.Connection(d.port, preface=GREETING)
        for stream in 1, 3, 5:
            c.send(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.request(UNARY))
                   + http2.frame(http2.DATA, 0, stream, struct.pack(">BI", 0, 1000) + b"x" * 10)
                   + http2.frame(http2.RST_STREAM, 0, stream, http2.CANCEL))
        d.counts(d.port, incomplete_request=3)


@test
def a_stop_refuses_new_connections_at_once():
    web = free_port()
    with Brickd(brick(options="delay: 30s"), extra="drain: { grace: 1s }\nworkers: 2",
                port_extra=f'  - {{ listen: "127.0.0.1:{web}", protocol: http }}') as d:
        running = http2.Connection(d.port, preface=GREETING + begin())
        time.sleep(0.2)
        d.send(15)
        made, seen = [], {}
        end = time.monotonic() + 2
        while time.monotonic() < end and d.process.poll() is None:
            for port, ask in ((d.port, GREETING + begin()), (web, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")):
                try:
                    made.append((port, http2.Connection(port, preface=ask)))
                except ConnectionRefusedError:
                    seen[port] = seen.get(port, 0) + 1
            time.sleep(0.005)
        assert all(seen.get(port, 0) > 20 for port in (d.port, web)), seen
        for port, c in made:  # between the signal and its handling
            data = everything(c)
            assert b"grpc-status" in data or b"HTTP/1.1" in data or len(data) > 0, (port, data)
        running.close()


@test
def log_and_metrics_say_what_a_client_saw_of_a_stop():
    with Watched(brick(options="delay: 30s"), extra="drain: { grace: 300ms }\nlog: { access: all }") as d:
        seen = d.channel().unary_unary(UNARY).future(b"\x12\x01a", timeout=20)
        wait_for("the call", d.has_call)
        d.stop()
        eq(seen.code(), grpc.StatusCode.UNAVAILABLE)
        d.says("rpc_status=UNAVAILABLE")


def without(closed):
    """What starts the command that follows, with these descriptors closed."""
    return ["sh", "-c", 'exec "$0" "$@" ' + " ".join(f"{fd}>&-" for fd in closed)]


def run_closed(*command, closed):
    """Its exit status and what it has written to the descriptors that it has."""
    done = subprocess.run([*without(closed), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=os.environ | LIBEXEC, timeout=20)
    return done.returncode, done.stdout + done.stderr


def link(pid, fd):
    """What a descriptor of a process is; None: the process has ended and is about to be reaped."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:
        return None


@test
def closed_standard_descriptors_are_nobody_elses():
    d = Brickd(brick())
    for closed in (2,), (0, 1, 2):
        d.process = subprocess.Popen([*without(closed), os.path.join(BUILD, "src", "brickd"), "-c", d.config], env=d.env,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("service", lambda: d.ctl("list", check=False).returncode == 0)
        wait_for("descriptors of their own", lambda: {  # pylint: disable=cell-var-from-loop
            link(pid, fd) for pid in (d.process.pid, *d.workers()) for fd in closed} == {"/dev/null"})
        eq(d.stop()[0], 0)
    brickctl, index, run = (os.path.join(BUILD, "src", *parts) for parts in (
        ("ctl", "brickctl"), ("bricks", "retrieval-fts", "brickctl-index"), ("exec", "brickd-exec")))
    for command in (brickctl, "--version"), (index, "--help"):
        assert run_closed(*command, closed=(0, 2))[0] == 0, command
    assert run_closed(brickctl, "--version", closed=(0, 1))[0] != 0, "it cannot say what it was asked"
    eq(run_closed(run, "--parent", str(os.getpid()), "--", "/bin/ls", "-l", "/proc/self/fd", closed=(0, 2))[1].count(b"/dev/null"), 2)


@test
def too_few_descriptors_are_said():
    d = Brickd(brick())
    for limit in range(4, 22, 3):
        done = subprocess.run(["prlimit", f"--nofile={limit}", os.path.join(BUILD, "src", "brickd"), "-c", d.config], env=d.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        eq(done.returncode, 69, (limit, done.stderr))
        assert "Too many open files" in done.stderr, (limit, done.stderr)
    assert "may have 19 files open: raise LimitNOFILE=" in done.stderr, done.stderr


@test
def a_read_only_volume_of_everybody_is_taken():
    script = """mount -t tmpfs -o mode=0777 tmpfs "$0" && mkdir "$0/..data" || exit 9
cat >"$0/..data/identities.yaml" && ln -s ..data/identities.yaml "$0/identities.yaml" && chmod 664 "$0/..data/identities.yaml"
cat >"$0/brickd.yaml" <"$1"; "$2" --check "$0/brickd.yaml"; mount -o remount,ro "$0"; "$2" --check "$0/brickd.yaml" """
    d = Brickd(brick(), extra="identities: identities.yaml")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, temp_dir(), d.config, os.path.join(BUILD, "src", "brickd")],
                          input="identities: []\n", capture_output=True, text=True, env=d.env, timeout=30)
    if done.returncode == 9 or "unshare" in done.stderr:
        raise Skip("this machine lets nobody mount")
    assert "writable by users other than its owner" in done.stderr and ": ok" in done.stdout, done
    eq(done.returncode, 0)


def unit_reload(d, pid, *options):
    """As systemd runs it for the unit whose main process that is."""
    before, d.env = d.env, d.env | {"MAINPID": str(pid)}
    try:
        return d.ctl("reload", *options, check=False)
    finally:
        d.env = before


@test
def a_reload_of_a_unit_waits_for_no_brickd_that_hangs():
    d = Brickd(brick())
    with socket.socket(socket.AF_UNIX) as control, contextlib.ExitStack() as clients:
        control.bind(f"{d.dir}/control")
        control.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:  # until its queue is full
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(f"{d.dir}/control")
        done = unit_reload(d, os.getpid(), "--timeout", "200ms")
        assert "did not answer" in done.stderr, done


def health(d, *arguments):
    done = d.ctl("health", *arguments, check=False)
    return done.returncode, done.stdout.strip() or done.stderr.strip()


@test
def a_file_that_is_edited_makes_nothing_unhealthy():
    """A container whose health check fails is restarted, and would not start while the file has a mistake."""
    port = free_port()
    tls = f'certificate: {authority.path("server.pem")}, key: {{ file: {authority.path("server.key")} }}'
    ports = (f'    bricks: [other]\n    health: false\n'
             f'  - {{ listen: "127.0.0.1:{free_port()}", tls: {{ {tls}, client_ca: {authority.path("ca.pem")} }} }}\n'
             f'  - {{ listen: "127.0.0.1:{port}", tls: {{ {tls} }} }}')
    with Brickd(brick() + brick("other").replace("LLM", "Guard"), port_extra=ports) as d:
        d.env["RUNTIME_DIRECTORY"] = d.dir
        with open(d.config) as f:
            right = f.read()
        with open(d.config, "w") as f:
            f.write(right.replace(str(d.port), str(free_port())).replace(f":{port}", f":{free_port()}"))
        eq(health(d), (0, "SERVING"))
        eq(health(d, "chat"), (0, "SERVING"))
        for wrong in f"nonsense: 1\n{right}", f"control: {d.dir}/control\nbricks: 7\n", "ports: [\n":
            with open(d.config, "w") as f:
                f.write(wrong)
            for names in [], ["chat"], ["other"], ["llm"]:
                eq(health(d, *names), (0, "SERVING"), (wrong, names))
            eq(health(d, "nobody")[0], 2)
            # brickd serves no earlier version of another file
            copy, d.config = d.config, f"{d.dir}/copy.yaml"
            with open(d.config, "w") as f:
                f.write(wrong)
            status, text = health(d)
            assert status == 78 and f"{d.dir}/copy.yaml:" in text, (status, text)
            d.config = copy
        d.stop()
        status, text = health(d)
        assert status == 78 and text.startswith(f"{d.config}:"), (status, text)


@test
def a_reload_of_a_unit_reloads_no_other_brickd():
    with Brickd(brick()) as d:
        for pid, status in ((d.process.pid, 0), (os.getpid(), 1)):
            done = unit_reload(d, pid)
            eq(done.returncode, status, done.stderr)
        assert f"is the control socket of process {d.process.pid}, and not of process {os.getpid()}" in done.stderr, done
        d.stop()
    # Two units that say nothing of control sockets have two.
    folders = [temp_dir(), temp_dir()]
    brickds = [Brickd(brick(), env={"RUNTIME_DIRECTORY": folder}) for folder in folders]
    for b in brickds:
        with open(b.config) as f:
            text = f.read()
        with open(b.config, "w") as f:
            f.write(re.sub("control: .*", "", text))
        b.env["BRICKD_CONFIG"] = b.config
        b.start()
    for b in brickds:
        eq(b.ctl("status").returncode, 0)
    with open(brickds[1].config, "a") as f:
        f.write("\nnonsense: true\n")
    eq(brickds[1].ctl("reload", check=False).returncode, 78)
    eq(brickds[0].ctl("reload").returncode, 0)
    for b in brickds:
        assert os.path.exists(os.path.join(b.env["RUNTIME_DIRECTORY"], "control"))
        b.stop()


main()
