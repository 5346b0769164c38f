#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_manager_limits.py BRICKD FAKE_WORKER CONTROL_CLIENT: what nobody may do to the main process: make it wait, grow,
forget a change, or say what is not so."""

import os
import pathlib
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import test_manager
from stopwatch import Stopwatch
from test_manager import BRICKD, LIMIT, Brickd, children_of, my_name, wait_for

TESTS = []
MANY_MISTAKES = "ports: 1\n" + "".join(f"wrong{i}: {{ quoted: {'x' * 80} }}\n" for i in range(20))


def test(function):
    TESTS.append(function)
    return function


# Standard error that nobody reads


class Unread(Brickd):
    """Its standard error is a pipe that is read only once somebody asks for it."""

    def __init__(self, *words, **keys):
        self.reader, self.writer = os.pipe()
        super().__init__(*words, **keys)

    def start(self, **keys):
        super().start(stderr=self.writer, **keys)
        os.close(self.writer)

    def __exit__(self, *unused):
        super().__exit__()
        os.close(self.reader)

    def read_from_now_on(self):
        def read():
            with os.fdopen(os.dup(self.reader), "rb") as pipe, open(self.log, "ab", buffering=0) as log:
                while chunk := pipe.read1(65536):
                    log.write(chunk)

        threading.Thread(target=read, daemon=True).start()

    def fill(self):
        """Reloads that fail, until the pipe takes no more and lines wait in brickd."""
        self.configure(text=MANY_MISTAKES)
        writer = os.open(f"/proc/self/fd/{self.reader}", os.O_WRONLY)
        wait_for(lambda: self.reload()[0] != 0 and not select.select([], [writer], [], 0)[1], "a full pipe")
        os.close(writer)
        for _ in range(2):
            assert self.reload()[0] != 0


@test
def mistakes_that_nobody_reads_hold_nothing():
    with Unread(log="{ format: text }") as d:
        d.fill()
        for _ in range(10):
            assert d.reload()[0] != 0
        assert d.status()["generation"] == 1
        d.stop()


@test
def the_format_changes_while_the_log_hangs():
    with Unread(log="{ format: json }") as d:
        d.fill()
        d.configure(log="{ format: text }")
        watch = Stopwatch()
        assert d.reload()[0] == 0
        assert watch.elapsed().running < 5
        d.read_from_now_on()
        assert d.reload()[0] == 0
        assert not d.wait_log("Reloaded: ", "generation " + str(d.status()["generation"])).startswith("{")
        d.stop()


@test
def a_log_without_a_thread_is_a_failure():
    # the stack of a thread is as large as this says, and there is no room for it
    def no_thread():
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 45, resource.RLIM_INFINITY))

    with Brickd(starts=False) as d:
        d.start(preexec_fn=no_thread)
        assert d.exit_status() == 1, d.process.returncode
        assert "Cannot start the thread that writes the log" in d.text(), d.text()


class Unheard(Brickd):
    """Nobody reads what it tells systemd, until somebody does."""

    def __init__(self, **keys):
        self.heard = threading.Event()
        super().__init__(**keys)

    def read_notifications(self):
        self.heard.wait()
        super().read_notifications()

    def __enter__(self):
        self.start()
        self.wait_log("Ready: ")
        return self

    def __exit__(self, *unused):
        self.heard.set()
        super().__exit__()


@test
def systemd_that_does_not_listen_holds_nothing():
    limit = int(pathlib.Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with Unheard(env=test_manager.watchdog(2400)) as d:
        for _ in range(min(limit, 600) + 2):  # two messages each
            assert d.reload(wait=False)[0] == 0
        last = d.status()["generation"]
        d.heard.set()
        d.wait_notified(f"READY=1\nSTATUS=serving 1 brick on 1 port, generation {last}")
        d.stop()


# Changes


def write_identities(path, *names):
    new = path.with_suffix(".new")
    new.write_text("identities:\n" + "".join(
        f'  - {{ name: {n}, token: "sha256:{(str(i) * 64)}", allow: "*" }}\n' for i, n in enumerate(names)))
    new.replace(path)


@test
def a_moment_without_descriptors_loses_no_revocation():
    with Brickd(starts=False) as d:
        file = d.path / "identities.yaml"
        write_identities(file, "good", "stolen")
        d.configure(identities=str(file))
        d.start()
        d.wait_notified("READY=1")
        pid = d.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) - 1, limits[1]))
        write_identities(file, "good")
        d.wait_log("Too many open files")
        time.sleep(1.2)  # at least two more attempts
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        d.wait_log("The identities have changed: 1 now")
        d.stop()
        assert d.text().count("Too many open files") == 1, d.text()


@test
def identities_that_were_moved_away_come_back():
    with Brickd(starts=False) as d:
        file = d.path / "identities.yaml"
        write_identities(file, "one")
        d.configure(identities=str(file))
        d.start()
        d.wait_notified("READY=1")
        file.rename(d.path / "away")
        d.wait_log("identities.yaml: No such file or directory")
        write_identities(file, "one", "two")
        d.wait_log("The identities have changed: 2 now")
        d.stop()


@test
def a_start_without_descriptors_may_be_tried_again():
    for limit in range(5, 10):
        with Brickd(starts=False) as d:
            d.start(preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
            # systemd starts it again after these
            assert d.exit_status() in (1, 69), (limit, d.text())


# Clients of the control socket


def greeted(path):
    """A connection past the handshake, for messages made by hand."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(LIMIT)
    client.connect(str(path))
    client.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    assert client.recv(100).startswith(b"OK")
    client.sendall(b"BEGIN\r\n")
    return client


def padded(data):
    return data + b"\0" * (-len(data) % 8)


def message(serial, method, signature=None, body=b""):
    fields = b""
    values = [(1, "o", "/org/brickd"), (2, "s", "org.brickd.Manager"), (3, "s", method)]
    for code, kind, value in values:
        fields = padded(fields) + bytes((code, 1)) + kind.encode() + b"\0"
        fields += struct.pack("<I", len(value)) + value.encode() + b"\0"
    if signature:
        fields = padded(fields) + b"\x08\x01g\0" + bytes((len(signature),)) + signature.encode() + b"\0"
    return padded(b"l\x01\0\x01" + struct.pack("<III", len(body), serial, len(fields)) + fields) + body


@test
def a_client_that_does_not_read_is_disconnected():
    with Brickd() as d:
        for method in "Stats", "Status", "NoSuchMethod":
            with greeted(d.control) as client:
                try:
                    for serial in range(1, 100000):
                        client.sendall(message(serial, method))
                except (BrokenPipeError, ConnectionResetError):
                    continue
                raise AssertionError(f"a hundred thousand answers to {method} wait")
        d.wait_log("does not read its answers")
        assert d.call("Status")[0] == 0


@test
def a_client_has_so_many_calls_at_a_time():
    with Brickd() as d, greeted(d.control) as client:
        d.configure("slow-start 3000")
        for serial in range(1, 101):
            client.sendall(message(serial, "Reload", "b", struct.pack("<I", 1)))
        answers = b""
        while b"serving" not in answers:
            answers += client.recv(1 << 20)
        assert answers.count(b"EBUSY") == 100 - 8, answers.count(b"EBUSY")
        assert d.call("Status")[0] == 0


@test
def who_waits_for_a_reload_gets_its_own_verdict():
    with Brickd("slow-retire 2000") as d:
        first = d.begin_reload()
        wait_for(lambda: d.status()["generation"] == 2, "the reload")
        d.configure(text="ports: nonsense\n")
        assert d.reload(wait=False)[0] != 0
        out, error = first.communicate(timeout=LIMIT)
        assert first.returncode == 0 and "generation 2" in out, (out, error)


@test
def a_reload_that_the_stop_overtakes_is_answered():
    with Brickd() as d:
        d.configure("slow-start 2000")
        first = d.begin_reload()
        wait_for(lambda: len(d.status()["workers"]) == 2, "the new worker")
        second = d.begin_reload()
        time.sleep(0.3)
        d.signal(signal.SIGTERM)
        for call in (first, second):
            assert "brickd is stopping" in call.communicate(timeout=LIMIT)[1]
        assert d.exit_status() == 0


@test
def the_control_socket_stays_where_it_works():
    with Brickd() as d:
        old, d.control = d.control, "/proc/nothing/here/control"
        d.configure()
        d.control = old
        assert d.reload()[0] == 0
        d.wait_log("warning", f"The control socket stays at {old}", "/proc/nothing/here/control")
        assert d.status()["generation"] == 2


# Ends


@test
def signals_do_not_put_the_end_off():
    with Brickd("held-for-ever", drain="{ grace: 100ms }") as d:
        watch = Stopwatch()
        while d.process.poll() is None and watch.elapsed().running < 15:
            d.signal(signal.SIGTERM)
            time.sleep(0.3)
        assert d.process.poll() == 0, (d.process.poll(), "it still waits for its worker, or has died")


@test
def signals_do_not_change_how_it_ends():
    for _ in range(5):
        with Brickd() as d:
            watch = Stopwatch()
            while d.process.poll() is None and watch.elapsed().running < 15:  # to the last, as the process goes down
                d.signal(signal.SIGTERM)
            assert d.process.poll() == 0, d.process.poll()


@test
def replaced_generations_are_so_many():
    with Brickd("slow-retire 60000", drain="{ generations: 2, retire: 60s }") as d:
        for _ in range(6):
            assert d.reload(wait=False)[0] == 0
        wait_for(lambda: len(children_of(d.process.pid)) == 3, "the end of the oldest")
        d.wait_log("Generation 1 is stopped early")
        generations = sorted(w["generation"] for w in d.status()["workers"])
        assert generations == [5, 6, 7], generations


@test
def workers_that_do_not_go_are_so_many():
    with Brickd("slow-retire 60000", "held-for-ever",
                drain="{ generations: 1, retire: 60s, grace: 60s }") as d:
        for _ in range(8):
            assert d.reload(wait=False)[0] == 0
        # the one that serves, one that retires, one that stops
        wait_for(lambda: len(children_of(d.process.pid)) <= 3, "the end of those that are too many")


# Files of others


def fifo_beside(d, path):
    os.mkfifo(str(path) + ".lock")
    return f"{path}: the file beside it whose name ends in .lock is not brickd's: remove it"


@test
def a_fifo_in_the_place_of_the_lock_ends_the_start():
    with Brickd(starts=False) as d:
        path = d.path / "grpc.sock"
        d.configure(ports=[f"unix:{path}"])
        assert fifo_beside(d, path) in d.fails_to_start(69)
        path.with_name("grpc.sock.lock").unlink()
        path.with_name("grpc.sock.lock").symlink_to("elsewhere")
        assert "is not brickd's" in d.fails_to_start(69)
        assert not (d.path / "elsewhere").exists()


@test
def a_fifo_in_the_place_of_the_lock_holds_neither_reload_nor_stop():
    with Brickd(starts=False) as d:
        path = d.path / "grpc.sock"
        d.configure(ports=[f"unix:{path}"])
        d.start()
        d.wait_notified("READY=1")
        path.unlink()
        why = fifo_beside(d, path)
        code, text = d.reload()
        assert code != 0 and why in text, text
        d.stop()


@test
def a_pipe_without_an_end_is_no_configuration():
    with Brickd() as d:
        d.file.unlink()
        os.mkfifo(d.file)
        writer = os.open(d.file, os.O_RDWR)  # and says nothing
        watch = Stopwatch()
        code, text = d.reload()
        assert code != 0 and "pipe whose writer has not closed it" in text, text
        assert watch.elapsed().running < 15
        assert d.status()["generation"] == 1
        os.close(writer)


# What is said


@test
def output_that_does_not_arrive_is_an_error():
    with Brickd(starts=False) as d:
        for arguments in (("--print-config", "-c", d.file), ("--print-schema",), ("--help",), ("--version",),
                          ("--check", d.file)):
            with open("/dev/full", "w") as full:
                done = subprocess.run([BRICKD, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=LIMIT, check=False, env=d.environment())
            assert done.returncode == 74, (arguments, done)
            assert "cannot write to standard output" in done.stderr, done


def can_unshare():
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


@test
def the_holder_of_a_port_is_named_where_proc_shows_only_processes():
    if not can_unshare():
        return
    hide = 'mount -t proc -o subset=pid proc /proc && exec "$@"'
    with socket.create_server(("127.0.0.1", 0)) as holder:
        with Brickd(ports=[f"127.0.0.1:{holder.getsockname()[1]}"], starts=False) as d:
            d.start(("unshare", "-m", "--propagation", "private", "sh", "-c", hide, "sh", BRICKD))
            assert d.exit_status() == 69, d.text()
            assert f"it is held by {my_name()}" in d.text(), d.text()


@test
def the_holder_of_a_port_that_proc_hides_can_be_found():
    if os.geteuid() != 0:
        return
    with socket.create_server(("127.0.0.1", 0)) as holder:
        with Brickd(ports=[f"127.0.0.1:{holder.getsockname()[1]}"], starts=False) as d:
            d.path.chmod(0o755)
            d.file.chmod(0o644)
            reach = os.access(BRICKD, os.X_OK) and subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BRICKD, "--help"],
                capture_output=True, check=False).returncode == 0
            if not reach:  # the build tree may be private
                return
            d.start(("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BRICKD))
            assert d.exit_status() == 69, d.text()
            assert "another program holds it; `ss -ltxp`, run as root, names it" in d.text(), d.text()


if __name__ == "__main__":
    sys.exit(test_manager.main(TESTS))
