#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_manager.py BRICKD FAKE_WORKER CONTROL_CLIENT: the main process, with workers that misbehave.

The workers are fake-worker.c's; comments of the configuration tell them what to do."""

import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from ports import free_port
from stopwatch import Stopwatch

BRICKD, FAKE_WORKER, CONTROL_CLIENT = (os.path.abspath(a) for a in sys.argv[1:4])
LIMIT = 60  # seconds that anything here may take
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def wait_for(what, event, limit=LIMIT):
    """What `what` gives once that is true. event: for the message, or a function that gives it."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"no sign of {event() if callable(event) else event} in {limit} s")


class Brickd:
    """One run of brickd, with its own folder, notify socket and log."""

    def __init__(self, *words, env=None, starts=True, **keys):
        self.folder = tempfile.TemporaryDirectory(prefix="brickd-")
        self.path = pathlib.Path(self.folder.name)
        self.file = self.path / "brickd.yaml"
        self.control = self.path / "run" / "control"
        self.log = self.path / "log"
        self.notified = []
        self.extra_env = env or {}
        self.starts = starts
        self.process = None
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.path / "notify"))
        threading.Thread(target=self.read_notifications, daemon=True).start()
        self.configure(*words, **keys)

    def configure(self, *words, ports=("127.0.0.1:0",), text=None, **keys):
        """Writes the file. words: what the workers shall do."""
        lines = ["# " + (w.replace(":", ": ") if ":" in w else "fake: " + w) for w in words]
        lines.append("ports:")
        lines += [f'  - listen: "{p}"' for p in ports]
        lines += ["bricks:", "  - { name: first, module: echo }", f"control: {self.control}"]
        lines += [f"{k}: {v}" for k, v in keys.items()]
        new = self.file.with_suffix(".new")
        new.write_text(text if text is not None else "\n".join(lines) + "\n")
        new.replace(self.file)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "WATCHDOG_USEC")}
        env.update(BRICKD_WORKER=FAKE_WORKER, NOTIFY_SOCKET=str(self.path / "notify"),
                   FAKE_STATE=str(self.path))
        return {**env, **self.extra_env}

    def start(self, command=(BRICKD,), **keys):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, "-c", str(self.file)], stdout=log, env=self.environment(),
                **{"stderr": log, **keys}
            )

    def __enter__(self):
        if self.starts:
            self.start()
            self.wait_notified("READY=1")
        return self

    def __exit__(self, *unused):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.shutdown(socket.SHUT_RDWR)
        wait_for(self.remove_folder, "the end of the workers, which write there")

    def remove_folder(self):
        try:
            self.folder.cleanup()
        except OSError:
            return False
        return True

    def exit_status(self, limit=LIMIT):
        return self.process.wait(limit)

    def fails_to_start(self, status):
        """The log of a start that ends with that exit status."""
        self.start()
        assert self.exit_status() == status, (self.process.returncode, self.text())
        return self.text()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.signal(signal.SIGTERM)
        status = self.exit_status()
        assert status == 0, status

    def text(self):
        """The lines that it has written so far: a thread writes them, some time after what they tell."""
        return "".join(self.log.read_text(errors="replace").rpartition("\n")[:2])

    def wait_log(self, *parts, limit=LIMIT):
        return wait_for(
            lambda: next((l for l in self.text().splitlines() if all(p in l for p in parts)), None),
            lambda: f"{parts} in\n{self.text()}", limit)

    def read_notifications(self):
        # at once: a full socket would make brickd wait
        while message := self.notify.recv(65536):
            self.notified.append(message.decode())

    def wait_notified(self, text, after=0):
        def seen():
            return next((m for m in self.notified[after:] if text in m), None)

        return wait_for(seen, lambda: f"notification of {text!r} in {self.notified}\n{self.text()}")

    def call(self, method, *arguments):
        """(exit status, reply or error) of a call to the control socket."""
        done = subprocess.run([CONTROL_CLIENT, self.control, method, *arguments],
                              capture_output=True, text=True, timeout=LIMIT, check=False)
        return done.returncode, (done.stdout or done.stderr).rstrip("\n")

    def status(self):
        code, text = self.call("Status")
        assert code == 0, text
        return json.loads(text)

    def reload(self, wait=True):
        return self.call("Reload", "true" if wait else "false")

    def begin_reload(self):
        return subprocess.Popen([CONTROL_CLIENT, self.control, "Reload", "true"], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def port(self, index=0):
        return int(self.status()["ports"][index]["address"].rpartition(":")[2])

    def ask(self, address, limit=LIMIT):
        """What a worker says to a client: generation, worker, port's index, pid."""
        return [int(n) for n in self.ask_all(address, limit)[:4]]

    def ask_all(self, address, limit=LIMIT):
        """The same and more: the levels of the log and of the first brick."""
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        target = ("127.0.0.1", address) if isinstance(address, int) else str(address)
        with socket.socket(family) as client:
            client.settimeout(limit)
            client.connect(target)
            return client.makefile().readline().split()


def refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def children_of(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def run_brickd(*arguments, env=None):
    base = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
    return subprocess.run([BRICKD, *map(str, arguments)], capture_output=True, text=True,
                          timeout=LIMIT, check=False,
                          env={**base, "BRICKD_WORKER": FAKE_WORKER, **(env or {})})


# Starting and stopping


@test
def starts_serves_and_stops():
    with Brickd() as d:
        ready = d.wait_notified("READY=1")
        assert "STATUS=serving 1 brick on 1 port, generation 1, 1 worker" in ready, ready
        assert d.ask(d.port())[:3] == [1, 0, 0]
        assert f"127.0.0.1:{d.port()}" in d.wait_log("Ready: 1 brick on ")
        d.stop()
        assert "EXTEND_TIMEOUT_USEC=" in d.wait_notified("STOPPING=1")
        d.wait_log("Stopped")
        assert not d.control.exists()


@test
def sigint_stops():
    with Brickd() as d:
        d.signal(signal.SIGINT)
        assert d.exit_status() == 0


@test
def maps_no_grpc():
    with Brickd() as d:
        maps = pathlib.Path(f"/proc/{d.process.pid}/maps").read_text()
        for library in ("grpc", "protobuf"):
            assert library not in maps, library


@test
def starts_as_many_workers_as_asked():
    with Brickd(workers=3) as d:
        assert "3 workers" in d.wait_notified("READY=1")
        workers = d.status()["workers"]
        assert sorted(w["index"] for w in workers) == [0, 1, 2]
        assert all(w["state"] == "ready" for w in workers), workers
        wait_for(lambda: all(w["status"] for w in d.status()["workers"]), "the answers of all workers")
        d.stop()


@test
def warns_of_no_bricks():
    with Brickd(starts=False) as d:
        d.configure(text=f'ports: [{{ listen: "127.0.0.1:0" }}]\ncontrol: {d.control}\n')
        d.start()
        d.wait_log("warning", "lists no bricks")
        d.stop()


@test
def workers_inherit_nothing_else():
    with Brickd() as d:
        pid = d.status()["workers"][0]["pid"]
        fds = {int(n) for n in os.listdir(f"/proc/{pid}/fd")}
        assert fds == set(range(12)), fds
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert "SigBlk:\t0000000000000000" in status, status
        assert os.getpgid(pid) == pid


@test
def workers_leave_when_the_main_process_dies():
    with Brickd() as d:
        pid = d.status()["workers"][0]["pid"]
        d.process.kill()
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists()
                 or " Z " in pathlib.Path(f"/proc/{pid}/stat").read_text(), "the worker's end")


@test
def second_signal_cancels():
    with Brickd("held", drain="{ grace: 60s }") as d:
        d.signal(signal.SIGTERM)
        d.wait_notified("STOPPING=1")
        time.sleep(0.3)
        assert d.process.poll() is None
        d.signal(signal.SIGTERM)
        assert d.exit_status(5) == 0


@test
def hard_limit_names_what_is_held():
    with Brickd("held-for-ever", drain="{ grace: 100ms }") as d:
        watch = Stopwatch()
        d.signal(signal.SIGTERM)
        assert d.exit_status(15) == 0
        took = watch.elapsed()
        assert 4.5 < took.seconds and took.running < 10, took
        d.wait_log("had to be killed", "brick 'first' still holds 3 calls")


@test
def stop_closes_the_sockets_at_once():
    with Brickd("held", drain="{ grace: 60s }") as d:
        port = d.port()
        d.signal(signal.SIGTERM)
        d.wait_notified("STOPPING=1")
        fds = f"/proc/{d.process.pid}/fd"
        tcp = [l.split() for l in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        inodes = {f[9] for f in tcp if int(f[1].split(":")[1], 16) == port and f[3] == "0A"}

        def holds():
            return any(os.readlink(f"{fds}/{n}") in {f"socket:[{i}]" for i in inodes}
                       for n in os.listdir(fds))

        wait_for(lambda: not holds(), "closing the sockets")


# Mistakes


@test
def mistakes_that_a_worker_finds_end_the_start():
    with Brickd("mistakes", starts=False) as d:
        lines = d.fails_to_start(78).splitlines()
        assert lines == [
            f"{d.file}:7:3: bricks[0].options.speed: expected a number",
            f"{d.file}:9:3: bricks[1].options: unknown key 'sped'",
        ], lines


@test
def mistakes_that_only_the_main_process_finds_end_the_start():
    with Brickd(starts=False) as d:
        d.configure(text="ports: 5\nbrick: []\n")
        text = d.fails_to_start(78)
        assert f"{d.file}:1:8: ports: " in text and f"{d.file}:2:1: " in text, text


@test
def mistakes_have_their_place_in_fields():
    with Brickd("mistakes", starts=False, log="{ format: json }") as d:
        entries = [json.loads(line) for line in d.fails_to_start(78).splitlines()]
        entries = [{k.upper(): v for k, v in e.items()} for e in entries]
        assert [e["CONFIG_LINE"] for e in entries] == ["7", "9"], entries
        assert {e["CONFIG_FILE"] for e in entries} == {str(d.file)}, entries


@test
def a_file_that_is_not_there_is_named():
    done = run_brickd("-c", "/nonexistent/brickd.yaml")
    assert done.returncode == 78
    assert done.stderr == "/nonexistent/brickd.yaml: No such file or directory\n", done.stderr


@test
def check_says_ok():
    with Brickd(starts=False) as d:
        done = run_brickd("--check", d.file)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout == f"{d.file}: 1 brick on 1 port: ok\n", done.stdout


@test
def check_opens_no_port():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        with Brickd(ports=[f"127.0.0.1:{holder.getsockname()[1]}"], starts=False) as d:
            assert run_brickd("--check", "-c", d.file).returncode == 0


@test
def check_can_be_interrupted():
    with Brickd("never-ready", starts=False) as d:
        d.process = subprocess.Popen([BRICKD, "--check", str(d.file)], env=d.environment())
        (worker,) = wait_for(lambda: children_of(d.process.pid), "a worker")
        d.signal(signal.SIGINT)
        assert d.exit_status(5) == 128 + signal.SIGINT
        assert not os.path.exists(f"/proc/{worker}")


@test
def check_shows_mistakes():
    with Brickd("mistakes", starts=False) as d:
        done = run_brickd("--check", d.file)
        assert (done.returncode, done.stdout) == (78, ""), done
        assert len(done.stderr.splitlines()) == 2, done.stderr
        d.configure(text="ports: 5\n")
        assert run_brickd("--check", d.file).returncode == 78


@test
def usage_is_64():
    for arguments in (["--nonsense"], ["what"], ["--config"]):
        assert run_brickd(*arguments).returncode == 64, arguments


@test
def prints_things():
    assert run_brickd("--version").stdout.startswith("brickd ")
    assert "--check" in run_brickd("--help").stdout
    assert json.loads(run_brickd("--print-schema").stdout)
    with Brickd(starts=False) as d:
        assert "start_timeout: 30s" in run_brickd("--print-config", "-c", d.file).stdout
        d.configure(text="ports: 5\n")
        assert run_brickd("--print-config", "-c", d.file).returncode == 78


@test
def modules_are_for_the_worker_to_open():
    # the stand-in knows no such arguments
    assert run_brickd("--inspect", "x.so").returncode == 64
    done = run_brickd("--describe", "x", env={"BRICKD_WORKER": "/nonexistent/worker"})
    assert done.returncode == 1 and "/nonexistent/worker" in done.stderr


# Starts that fail


@test
def a_worker_that_fails_says_why():
    with Brickd("fail", starts=False) as d:
        assert "Cannot start: brick 'first': the model is not there" in d.fails_to_start(1)


@test
def a_worker_that_is_not_installed_is_named():
    with Brickd(starts=False, env={"BRICKD_WORKER": "/nonexistent/worker"}) as d:
        assert "Cannot run /nonexistent/worker: No such file" in d.fails_to_start(1)


@test
def a_crash_in_create_names_the_brick():
    with Brickd("crash-in-create", starts=False, workers=2) as d:
        assert "died of SIGSEGV in create() of brick 'first'" in d.fails_to_start(1)


@test
def a_create_that_hangs_names_the_brick():
    with Brickd("never-ready", starts=False, start_timeout="1s") as d:
        assert "brick 'first' did not finish create() within 1s" in d.fails_to_start(1)


@test
def a_stop_during_the_start_is_quick():
    with Brickd("never-ready", starts=False) as d:
        d.start()
        wait_for(lambda: children_of(d.process.pid), "a worker")
        d.stop()
        assert "died" not in d.text(), d.text()


# Ports


def my_name():
    return f"{pathlib.Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"


@test
def a_taken_port_names_its_holder():
    for host, listen in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as holder:
            address = f"{listen}:{holder.getsockname()[1]}"
            with Brickd(ports=[address], starts=False) as d:
                text = d.fails_to_start(69)
                assert f"Cannot listen on {address}: it is held by {my_name()}" in text, text


@test
def an_address_of_another_machine_is_refused():
    with Brickd(ports=["192.0.2.1:0"], starts=False) as d:
        d.configure(text='ports: [{ listen: "192.0.2.1:0", allow_insecure: true }]\n')
        assert "this machine has no such address" in d.fails_to_start(69)


@test
def both_families_on_the_wildcard():
    with Brickd(starts=False) as d:
        d.configure(text='ports: [{ listen: "[::]:0", allow_insecure: true }]\n'
                         f"control: {d.control}\n")
        d.start()
        d.wait_notified("READY=1")
        assert d.ask(d.port())[0] == 1


@test
def a_dead_unix_socket_is_replaced_and_a_live_one_is_not():
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        d.configure(ports=[f"unix:{path}"])
        with socket.socket(socket.AF_UNIX) as holder:
            holder.bind(str(path))
            holder.listen()
            text = d.fails_to_start(69)
            assert f"Cannot listen on unix:{path}: it is held by {my_name()}" in text, text
        d.start()
        d.wait_notified("READY=1")
        assert d.ask(path)[:3] == [1, 0, 0]
        d.stop()
        assert not path.exists()


def configure_port(d, port, *words):
    lines = [f"# fake: {w}" for w in words]
    d.configure(text="\n".join([*lines, f"ports: [{{ {port} }}]", f"control: {d.control}", ""]))


def access(path):
    st = path.stat()
    return st.st_mode & 0o7777, st.st_uid, st.st_gid


@test
def a_unix_socket_has_the_mode_and_group_asked_for():
    uid, gid = os.geteuid(), os.getegid()
    group = 54321 if uid == 0 else gid
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        configure_port(d, f"listen: unix:{path}")
        d.start()
        d.wait_notified("READY=1")
        assert access(path) == (0o600, uid, gid), access(path)
        inode = path.stat().st_ino
        for port, expected in (
                (f"listen: unix:{path}, mode: 0666", (0o666, uid, gid)),
                (f"listen: unix:{path}, group: {group}", (0o660, uid, group)),
                (f"listen: unix:{path}, owner: {uid}, group: {gid}, mode: 0620", (0o620, uid, gid))):
            configure_port(d, port)
            assert d.reload()[0] == 0
            assert access(path) == expected, (port, access(path))
        configure_port(d, f"listen: unix:{path}, mode: 0666", "fail")
        assert d.reload()[0] == 1
        assert access(path) == (0o620, uid, gid), "a failed reload must not change it"
        assert path.stat().st_ino == inode and d.ask(path)[0] == 4
        d.stop()
        assert not path.exists()


@test
def a_file_that_is_not_ours_keeps_its_mode():
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        configure_port(d, f"listen: unix:{path}")
        d.start()
        d.wait_notified("READY=1")
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            path.chmod(0o600)
            configure_port(d, f"listen: unix:{path}, mode: 0666")
            assert d.reload()[0] == 0
            d.wait_log("warning", "keeps the mode and owner that it has")
            assert path.stat().st_mode & 0o777 == 0o600
            d.stop()
            assert path.exists()


@test
def a_reload_makes_a_removed_file_anew():
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        configure_port(d, f"listen: unix:{path}")
        d.start()
        d.wait_notified("READY=1")
        path.unlink()
        d.control.unlink()
        d.signal(signal.SIGHUP)
        d.wait_log("Reloaded")
        assert d.ask(str(path))[0] == 2
        assert d.status()["generation"] == 2
        d.stop()
        assert not path.exists() and not d.control.exists()


@test
def who_may_not_give_the_socket_away_says_so():
    if os.geteuid() != 0:
        return
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        configure_port(d, f"listen: unix:{path}, group: 54321")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        d.path.chmod(0o755)
        own = d.path / "own"
        own.mkdir()
        os.chown(own, 65534, 65534)
        configure_port(d, f"listen: unix:{own}/bricks.sock, group: 54321")
        done = subprocess.run([*nobody, BRICKD, "-c", str(d.file)], env=d.environment(), text=True,
                              capture_output=True, timeout=LIMIT, check=False)
        assert done.returncode == 69, done
        assert "brickd may not give it to this owner or group" in done.stderr, done.stderr
        assert not list(own.iterdir())


@test
def a_directory_that_everybody_can_write_is_refused():
    with Brickd(starts=False) as d:
        open_to_all = d.path / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        configure_port(d, f"listen: unix:{open_to_all}/bricks.sock")
        assert "every user can write its directory" in d.fails_to_start(69)
        open_to_all.chmod(0o1777)
        d.start()
        d.wait_notified("READY=1")
        d.stop()


@test
def a_symlink_is_not_followed():
    with Brickd(starts=False) as d:
        path, target = d.path / "link.sock", d.path / "target.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(target))
        path.symlink_to(target)
        configure_port(d, f"listen: unix:{path}")
        assert "it exists and is not a socket" in d.fails_to_start(69)
        assert path.is_symlink() and target.is_socket()


@contextlib.contextmanager
def rivals_for(d, n):
    programs = [subprocess.Popen([BRICKD, "-c", str(d.file)], stderr=subprocess.DEVNULL,
                                 env=d.environment()) for _ in range(n)]
    try:
        yield programs
    finally:
        for program in programs:
            program.kill()
            program.wait()


@test
def one_of_many_gets_a_dead_unix_socket():
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        d.configure(text=f'ports: [{{ listen: "unix:{path}" }}]\ncontrol: null\n')
        with rivals_for(d, 6) as rivals:
            wait_for(lambda: sum(r.poll() is None for r in rivals) <= 1, "one brickd that is left")
            (winner,) = [r for r in rivals if r.returncode is None]
            assert {r.returncode for r in rivals} == {None, 69}
            assert d.ask(path)[:3] == [1, 0, 0], "the one that is left is the one to be reached"
            winner.terminate()
            assert winner.wait(LIMIT) == 0
            assert [p for p in d.path.iterdir() if p.is_socket() or p.suffix == ".lock"] == [d.path / "notify"]


@test
def an_abstract_unix_socket():
    name = f"brickd-test-{os.getpid()}"
    with Brickd(ports=[f"unix:@{name}"]) as d:
        assert d.ask("\0" + name)[:3] == [1, 0, 0]
        with Brickd(ports=[f"unix:@{name}"], starts=False) as other:
            text = other.fails_to_start(69)
            assert f"Cannot listen on unix:@{name}: it is held by brickd (pid {d.process.pid})" in text
        assert d.reload()[0] == 0
        assert d.ask("\0" + name)[0] == 2


@test
def a_file_that_is_no_socket_is_left_alone():
    with Brickd(starts=False) as d:
        path = d.path / "precious"
        path.write_text("data")
        d.configure(ports=[f"unix:{path}"])
        assert "it exists and is not a socket" in d.fails_to_start(69)
        assert path.read_text() == "data"


def start_with_socket(d, listener):
    d.configure(ports=["systemd:grpc"])
    with open(d.log, "wb") as log:
        d.process = subprocess.Popen(
            ["/bin/sh", "-c", f"LISTEN_PID=$$ exec {BRICKD} -c {d.file}"], stderr=log,
            env={**d.environment(), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "grpc"},
            pass_fds=(3,), preexec_fn=lambda: os.dup2(listener.fileno(), 3))


@test
def a_socket_of_systemd_is_not_open_to_everybody_by_mistake():
    with socket.create_server(("0.0.0.0", 0)) as listener, Brickd(starts=False) as d:
        start_with_socket(d, listener)
        assert d.exit_status() == 78
        address = f"0.0.0.0:{listener.getsockname()[1]}"
        d.wait_log(f"brickd.yaml:2:13: ports[0].listen: other machines can reach {address}")


@test
def a_socket_of_systemd_that_is_of_no_use_is_a_mistake():
    with socket.socket() as deaf, Brickd(starts=False) as d:
        start_with_socket(d, deaf)
        assert d.exit_status() == 78
        d.wait_log("brickd.yaml:2:13: ports[0].listen: systemd has passed no listening stream socket of that name")


@test
def sockets_of_systemd():
    with socket.create_server(("127.0.0.1", 0)) as listener, Brickd(starts=False) as d:
        start_with_socket(d, listener)
        d.wait_notified("READY=1")
        assert d.ask(listener.getsockname()[1])[:3] == [1, 0, 0]
        d.configure()
        assert d.reload()[0] == 0
        assert not refused(listener.getsockname()[1]), "systemd's socket was shut down"
        d.configure(ports=["systemd:other"])
        code, text = d.reload()
        assert code != 0 and "org.brickd.Error.Config" in text and "FileDescriptorName=" in text, text


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill_descriptors(pid):
    """Lowers the limit so far that the process cannot open another; returns what it was."""

    def table():
        return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}

    before = table()
    while time.sleep(0.3) or (now := table()) != before:  # what it does at its start, it has done
        before = now
    saved = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    free = next(fd for fd in range(1024) if fd not in now)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, saved[1]))
    return saved


@test
def a_full_table_of_descriptors_is_waited_for():
    metrics = free_port()
    with Brickd(metrics=f"{{ listen: '127.0.0.1:{metrics}' }}") as d:
        pid = d.process.pid
        saved = fill_descriptors(pid)
        status = subprocess.Popen([CONTROL_CLIENT, d.control, "Status"], stdout=subprocess.DEVNULL)
        with socket.create_connection(("127.0.0.1", metrics), LIMIT) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.2)
            before = cpu_seconds(pid)
            time.sleep(1)
            busy = cpu_seconds(pid) - before
            assert status.poll() is None
            resource.prlimit(pid, resource.RLIMIT_NOFILE, saved)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert status.wait(LIMIT) == 0
        assert busy < 0.3, f"{busy} s of processor time in 1 s of waiting"


# Crashes


@test
def a_crash_names_the_brick_and_another_worker_takes_over():
    with Brickd("once:crash-after 100") as d:
        port = d.port()
        d.wait_log("Worker 0", "died of SIGSEGV in brick 'first'", "starting it again")
        wait_for(lambda: d.status()["workers"][0]["restarts"] == 1, "the restart")
        assert d.ask(port)[0] == 1
        assert wait_for(lambda: d.status()["workers"][0]["state"] == "ready", "readiness")


@test
def an_exit_is_a_death_too():
    with Brickd("once:exit-after 50") as d:
        d.wait_log("exited with status 0; starting it again")


@test
def restarts_come_later_and_later():
    with Brickd("crash-after 0") as d:
        for delay in ("starting it again", "in 0.1s", "in 0.2s", "in 0.4s"):
            d.wait_log(delay)
        wait_for(lambda: any("1 worker (0 ready)" in m for m in d.notified), "the status line")
        exited = wait_for(lambda: next((w for w in d.status()["workers"] if w["state"] == "exited"), None),
                          "the status between two workers")
        assert (exited["pid"], exited["uptime_seconds"], exited["status"]) == (None, 0, None), exited
        d.stop()


@test
def the_listener_stays_open_over_crashes():
    with Brickd("crash-after 20") as d:
        port = d.port()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert not refused(port)
            time.sleep(0.005)


@test
def a_restarted_worker_gets_the_bytes_that_serve():
    with Brickd() as d:
        d.file.write_text("# fake: fail\nnonsense")
        pid = d.ask(d.port())[3]
        os.kill(pid, signal.SIGKILL)
        d.wait_log("died of SIGKILL")
        assert wait_for(lambda: d.ask(d.port())[3] != pid, "a new worker")
        d.stop()
        assert "model is not there" not in d.text()


@test
def orphans_are_reaped():
    prctl_subreaper = ("import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); "
                       "os.execv(sys.argv[1], sys.argv[1:])")
    with Brickd("orphan", starts=False) as d:
        with open(d.log, "wb") as log:
            d.process = subprocess.Popen(
                [sys.executable, "-c", prctl_subreaper, BRICKD, "-c", str(d.file)], stderr=log,
                env=d.environment())
        d.wait_notified("READY=1")
        wait_for(lambda: len(children_of(d.process.pid)) == 1, "reaping the orphan")
        d.stop()


# Reloads


@test
def a_reload_replaces_the_workers_and_keeps_the_port():
    with Brickd(workers=2) as d:
        port, old = d.port(), {w["pid"] for w in d.status()["workers"]}
        seen = len(d.notified)
        code, text = d.reload()
        assert (code, text) == (0, "serving 1 brick on 1 port, generation 2, 2 workers"), text
        status = d.status()
        assert d.port() == port and d.ask(port)[0] == 2
        assert {w["generation"] for w in status["workers"]} == {2}
        assert not old & {w["pid"] for w in status["workers"]}
        assert status["last_reload"]["ok"] and status["last_reload"]["generation"] == 2
        reloading = d.wait_notified("RELOADING=1", after=seen)
        assert "MONOTONIC_USEC=" in reloading
        assert "generation 2" in d.wait_notified("READY=1", after=seen)
        d.wait_log("Reloaded: 1 brick on ")


@test
def sighup_reloads():
    with Brickd() as d:
        d.signal(signal.SIGHUP)
        d.wait_log("Reloaded", "generation 2")


@test
def a_reload_changes_the_log():
    with Brickd(log="{ format: text, level: info }") as d:
        d.configure(log="{ format: json, level: info }")
        assert d.reload()[0] == 0
        assert json.loads(d.wait_log("Reloaded"))
        d.configure(log="{ format: text, level: error }")
        assert d.reload()[0] == 0
        d.stop()
        assert "Stopping" not in d.text()


@test
def a_failed_reload_changes_nothing():
    with Brickd() as d:
        pid = d.ask(d.port())[3]
        d.configure("mistakes")
        code, text = d.reload()
        assert code == 1 and text.startswith("org.brickd.Error.Config: "), text
        assert ":7:3: bricks[0].options.speed: " in text and ":9:3: " in text, text
        assert d.ask(d.port())[3] == pid
        last = d.status()["last_reload"]
        assert not last["ok"] and "bricks[0].options.speed" in last["text"]
        assert "bricks[0].options.speed" in d.wait_notified("the last reload failed")
        d.wait_log("Reload failed; generation 1 serves on")

        d.configure(text="ports: 5\n")
        assert "org.brickd.Error.Config: " in d.reload()[1]
        d.file.unlink()
        assert "No such file" in d.reload()[1]
        os.mkfifo(d.file)
        assert "org.brickd.Error.Config: " in d.reload()[1], "nobody writes to it, and nobody waits for that"
        for word in ("fail", "crash-in-create"):
            d.configure(word)
            assert "org.brickd.Error.Failed: " in d.reload()[1]
        assert d.ask(d.port())[3] == pid

        d.configure()
        assert d.reload()[0] == 0
        assert d.ask(d.port())[3] != pid
        assert "failed" not in d.notified[-1], d.notified[-1]


@test
def a_reload_with_one_worker_that_fails_kills_the_others():
    with Brickd() as d:
        d.configure("never-ready-but-first", "fail-first", workers=3)
        code, text = d.reload()
        assert code == 1 and "the model is not there" in text, text
        assert len(d.status()["workers"]) == 1


@test
def reloads_during_a_reload_become_one():
    with Brickd() as d:
        d.configure("slow-start 1500")
        calls = [d.begin_reload()]
        wait_for(lambda: len(d.status()["workers"]) == 2, "the new worker")
        calls += [d.begin_reload() for _ in range(4)]
        replies = [c.communicate(timeout=LIMIT)[0] for c in calls]
        assert "generation 2" in replies[0], replies
        assert all("generation 3" in r for r in replies[1:]), replies
        assert d.status()["generation"] == 3


@test
def reload_can_wait_for_the_old_workers():
    with Brickd("slow-retire 3000") as d:
        watch = Stopwatch()
        assert d.reload(wait=False)[0] == 0
        assert watch.elapsed().running < 2.5
        assert {w["state"] for w in d.status()["workers"]} == {"ready", "retiring"}
        watch = Stopwatch()
        assert d.reload(wait=True)[0] == 0
        assert watch.elapsed().seconds > 2.5
        assert {w["state"] for w in d.status()["workers"]} == {"ready"}


@test
def a_retired_worker_has_a_limit():
    with Brickd("slow-retire 60000", drain="{ retire: 0s, grace: 0s }") as d:
        watch = Stopwatch()
        assert d.reload(wait=True)[0] == 0
        took = watch.elapsed()
        assert 4.5 < took.seconds and took.running < 15, took
        d.wait_log("generation 1", "had to be killed")


@test
def a_retiring_worker_is_stopped_with_the_others():
    with Brickd("slow-retire 60000") as d:
        assert d.reload(wait=False)[0] == 0
        d.stop()


@test
def a_stop_during_a_reload():
    with Brickd() as d:
        d.configure("never-ready")
        call = d.begin_reload()
        wait_for(lambda: len(children_of(d.process.pid)) == 2, "the new worker")
        d.stop()
        assert "brickd is stopping" in call.communicate(timeout=LIMIT)[1]


@test
def ports_come_and_go():
    first, second = free_port(), free_port()
    with Brickd(starts=False) as d:
        path = d.path / "bricks.sock"
        d.configure(ports=[f"127.0.0.1:{first}", f"unix:{path}"])
        d.start()
        d.wait_notified("READY=1")
        d.configure("slow-retire 60000", ports=[f"127.0.0.1:{second}", f"127.0.0.1:{first}"])
        assert d.reload()[0] == 0
        assert d.ask(first)[:3] == [2, 0, 1] and d.ask(second)[:3] == [2, 0, 0]
        assert not path.exists()
        d.configure(ports=[f"127.0.0.1:{second}"])
        assert d.reload(wait=False)[0] == 0
        assert refused(first), "although the retired worker still has it"
        wait_for(lambda: d.ask(second)[:3] == [3, 0, 0], "the new worker's turn")
        with socket.create_server(("127.0.0.1", 0)) as holder:
            d.configure(ports=[f"127.0.0.1:{first}", f"127.0.0.1:{holder.getsockname()[1]}"])
            code, text = d.reload()
            assert code == 1 and "org.brickd.Error.Failed: Cannot listen on" in text, text
            assert my_name() in text
        assert refused(first) and d.ask(second)[0] == 3


@test
def an_address_cannot_change_under_its_own_port():
    port = free_port()
    with Brickd(ports=[f"127.0.0.1:{port}"]) as d:
        d.configure(text=f'ports: [{{ listen: "0.0.0.0:{port}", allow_insecure: true }}]\n'
                         f"control: {d.control}\n")
        code, text = d.reload()
        assert code == 1 and "held by this brickd itself; to change its address takes" in text, text


# The watchdog


def watchdog(milliseconds):
    return {"WATCHDOG_USEC": str(milliseconds * 1000)}


@test
def the_watchdog_is_fed():
    with Brickd(env=watchdog(1200)) as d:
        wait_for(lambda: sum(m == "WATCHDOG=1" for m in d.notified) >= 4, "feeding")
        assert d.status()["workers"][0]["restarts"] == 0


@test
def a_silent_worker_is_killed_and_named():
    with Brickd("once:silent", env=watchdog(1500)) as d:
        d.wait_log("has not answered for 0.5s", "brick 'first' holds its polling thread")
        d.wait_log("was killed: it did not answer; starting it again")
        assert d.ask(d.port())[0] == 1
        fed = len(d.notified)
        wait_for(lambda: "WATCHDOG=1" in d.notified[fed:], "feeding")


def is_blamed():
    """Whether a worker is that had a question open when the machine stood still; None: it stood still too late to say."""
    with Brickd(env=watchdog(3000)) as d:
        (worker,) = (w["pid"] for w in d.status()["workers"])
        watch = Stopwatch()
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.6)  # it is asked every 0.5 s, and killed after 1 s
        d.signal(signal.SIGSTOP)
        if watch.elapsed().seconds > 0.9:
            return None
        time.sleep(1.5)
        os.kill(worker, signal.SIGCONT)
        d.signal(signal.SIGCONT)
        return [w["pid"] for w in d.status()["workers"]] != [worker]


@test
def nobody_is_blamed_when_the_machine_stands_still():
    assert next(blamed for _ in range(10) if (blamed := is_blamed()) is not None) is False


def fed(d, seconds):
    seen, watch = len(d.notified), Stopwatch()
    while watch.elapsed().running < seconds:
        time.sleep(0.01)
    return "WATCHDOG=1" in d.notified[seen:]


@test
def the_watchdog_starves_when_no_worker_answers():
    with Brickd("silent", env=watchdog(900)) as d:
        d.wait_log("was killed: it did not answer")
        # it is, while a worker starts: but not for as long as systemd waits
        wait_for(lambda: not fed(d, 1), "starving")


@test
def workers_that_crash_do_not_starve_the_watchdog():
    with Brickd("crash-after 0", env=watchdog(400)) as d:
        d.wait_log("in 1.6s")
        assert fed(d, 0.9)


@test
def one_worker_that_answers_feeds_the_watchdog():
    with Brickd("silent-first", workers=2, env=watchdog(900)) as d:
        d.wait_log("Worker 0", "was killed: it did not answer")
        assert fed(d, 0.9) and fed(d, 0.9)


# The control socket


@test
def control_is_for_our_user_only():
    with Brickd() as d:
        assert d.control.stat().st_mode & 0o777 == 0o600
        assert d.control.parent.stat().st_mode & 0o777 == 0o755
        if os.geteuid() == 0:
            d.control.chmod(0o666)
            d.path.chmod(0o755)
            client = subprocess.run([sys.executable, "-c", """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(10)
sys.exit(s.recv(1) != b"")
""", str(d.control)], timeout=LIMIT, check=False)
            assert client.returncode == 0


@test
def control_takes_so_many_connections():
    with Brickd() as d:
        clients = []
        for _ in range(17):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(str(d.control))
        clients[0].settimeout(LIMIT)
        assert clients[0].recv(1) == b"", "the oldest makes room"
        # the silent ones keep nobody out
        assert d.call("Status")[0] == 0
        for client in clients:
            client.close()


@test
def control_does_not_hold_the_stop():
    with Brickd() as d, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(d.control))
        assert d.call("Status")[0] == 0
        watch = Stopwatch()
        d.stop()
        assert watch.elapsed().running < 5, "brickd has waited for somebody who says nothing"


@test
def control_that_cannot_be_is_only_a_warning():
    with Brickd(starts=False) as d:
        d.control = "/proc/nothing/here/control"
        d.configure()
        d.start()
        d.wait_notified("READY=1")
        d.wait_log("warning", "/proc/nothing/here/control")
        d.stop()


@test
def control_moves_with_a_reload():
    with Brickd() as d:
        old, d.control = d.control, d.path / "elsewhere"
        d.configure()
        d.control, new = old, d.control
        assert d.reload()[0] == 0
        assert not old.exists()
        d.control = new
        assert d.status()["generation"] == 2


@test
def control_stops():
    with Brickd() as d:
        assert d.call("Stop")[0] == 0
        assert d.exit_status() == 0


@test
def control_sets_the_log_level_until_the_next_reload():
    def levels():
        return d.ask_all(port)[4:]

    with Brickd() as d:
        port = d.port()
        assert levels() == ["-", "-"]
        assert d.call("LogLevel", "debug", "", "")[0] == 0
        assert levels() == ["debug", "-"]
        assert d.call("LogLevel", "info", "", "echo")[0] == 0
        assert levels() == ["debug", "info"]
        assert d.call("LogLevel", "warning", "first", "")[0] == 0
        assert d.status()["log_levels"] == [{"brick": None, "level": "debug"},
                                            {"brick": "first", "level": "warning"}]
        os.kill(d.ask(port)[3], signal.SIGKILL)
        wait_for(lambda: levels() == ["debug", "warning"], "the levels in the next worker")
        for arguments, message in (
                (("loud", "", ""), "no such level: 'loud'"),
                (("info", "nobody", ""), "no brick has the name 'nobody'"),
                (("info", "", "nothing"), "no brick is made from the module 'nothing'"),
                (("info", "first", "echo"), "both cannot be given")):
            code, text = d.call("LogLevel", *arguments)
            assert code == 1 and message in text, text
        d.reload()
        assert levels() == ["-", "-"] and d.status()["log_levels"] == []


@test
def status_does_not_wait_for_the_silent():
    with Brickd("silent") as d:
        watch = Stopwatch()
        status = d.status()
        assert watch.elapsed().running < 5
        assert status["workers"][0]["status"] is None
        for key in ("version", "pid", "config", "uptime_seconds", "ports", "last_reload"):
            assert key in status, key


@test
def any_free_port_stays_the_same():
    with Brickd(ports=("127.0.0.1:0", "127.0.0.1:0")) as d:
        before = [p["address"] for p in d.status()["ports"]]
        d.reload()
        assert [p["address"] for p in d.status()["ports"]] == before and len(set(before)) == 2


@test
def clients_that_go_are_forgotten():
    with Brickd() as d:
        d.configure("slow-start 1000")
        calls = [d.begin_reload()]
        wait_for(lambda: len(d.status()["workers"]) == 2, "the new worker")
        calls += [d.begin_reload() for _ in range(3)]
        time.sleep(0.3)
        for call in calls:
            call.kill()
            call.communicate()
        wait_for(lambda: d.status()["generation"] >= 2, "the reload")
        d.stop()


def main(every=tuple(TESTS)):
    only = sys.argv[4:]
    tests = [t for t in every if not only or t.__name__ in only]
    failures = 0
    print(f"1..{len(tests)}")
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace("_", " ")
        start = time.monotonic()
        try:
            function()
            print(f"ok {number} - {name} # {time.monotonic() - start:.1f} s", flush=True)
        except Exception:  # pylint: disable=broad-except
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
