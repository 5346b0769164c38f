# SPDX-License-Identifier: MIT
"""TLS: who gets in, what is refused at the start, and new certificates while calls go on."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import grpc

from harness import (BUILD, Brickd, Stopwatch, call, eq, free_port, generate_stubs, main, path, stream,
                     temp_dir, test, wait_for)
from pki import Authority, openssl

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
BRICKS = "  - { name: chat, module: echo, options: { type: LLM } }\n" \
         "  - { name: pipe, module: echo, options: { type: Common } }\n"
UNARY, OUTPUT = path("LLM", "Unary"), path("LLM", "OutputStreaming")
BIDI = path("Common", "BidiStreaming")
HELLO = llm_pb2.LLMRequest(prompt="hello").SerializeToString()

FOLDER = temp_dir()
CA = Authority(os.path.join(FOLDER, "ca"))
OTHER = Authority(os.path.join(FOLDER, "other"))
SERVER = CA.issue("server")
CLIENT = CA.issue("client", san="URI:spiffe://example/client", usage="clientAuth")


def read(name):
    with open(name, "rb") as f:
        return f.read()


def copy(source, target, mode=0o600):
    """Takes the place of the target at once, as a careful tool does it."""
    shutil.copyfile(source, target + ".new")
    os.chmod(target + ".new", mode)
    os.rename(target + ".new", target)


class Port:
    """The files of a port, in a folder of its own, and what the configuration says of them."""

    def __init__(self, pair=SERVER, ca=None, client=None):
        self.folder = temp_dir()
        self.certificate, self.key = self.path("tls.pem"), self.path("tls.key")
        self.put(pair)
        self.text = f"certificate: {self.certificate}, key: {{ file: {self.key} }}"
        if ca:
            copy(ca, self.path("ca.pem"))
            self.text += f", client_ca: {self.path('ca.pem')}"
        if client:
            self.text += f", client_certificate: {client}"

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, pair):
        copy(pair[0], self.certificate)
        copy(pair[1], self.key)


def daemon_of(port, extra="", bricks=BRICKS, **kwargs):
    return Brickd(bricks, port_extra=f"    tls: {{ {port.text} }}", modules=MODULES, extra=extra, **kwargs)


def channel_of(daemon, pair=None, ca=CA.path("ca.pem"), address=None, **options):
    credentials = grpc.ssl_channel_credentials(
        read(ca), *((read(pair[1]), read(pair[0])) if pair else ()))
    channel = grpc.secure_channel(
        address or daemon.address, credentials,
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)] + list(options.items()))
    daemon.channels.append(channel)
    return channel


def status(daemon, *args, **kwargs):
    return call(channel_of(daemon, *args, **kwargs), UNARY, HELLO, timeout=10)[1]


def s_client(daemon, *args, address=None):
    where = ["-unix", address] if address else ["-connect", daemon.address]
    done = openssl("s_client", *where, "-alpn", "h2", *args, check=False)
    return done.stdout + done.stderr


def served(daemon):
    """The certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as s, context.wrap_socket(s) as wrapped:
        return wrapped.getpeercert(binary_form=True)


def first(pair):
    """The certificate in a file, as served() gives it."""
    with open(pair[0]) as f:
        return ssl.PEM_cert_to_DER_cert(f.read())


def expiry(pair):
    """Seconds since 1970."""
    return round(ssl.cert_time_to_seconds(
        openssl("x509", "-in", pair[0], "-noout", "-enddate").stdout.strip().partition("=")[2]))


def wait_served(daemon, pair, connections=1):
    """So many new connections in a row get this certificate."""
    wait_for("the new certificate",
             lambda: all(served(daemon) == first(pair) for _ in range(connections)), 15)


def refused(daemon):
    """What --check says of a configuration, which must be wrong."""
    done = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--check", daemon.config],
                          capture_output=True, text=True, timeout=30, env=daemon.env)
    eq(done.returncode, 78, done.stdout + done.stderr)
    return done.stdout + done.stderr


@test
def calls_go_over_tls():
    with daemon_of(Port()) as d:
        channel = channel_of(d)
        reply, code, *_ = call(channel, UNARY, HELLO)
        eq((code, llm_pb2.LLMResponse.FromString(reply).text), ("OK", "Echo: hello"))
        eq(stream(channel, OUTPUT, HELLO)[1], "OK")
        text = s_client(d, "-CAfile", CA.path("ca.pem"), "-verify_return_error")
        assert "Verification: OK" in text and "ALPN protocol: h2" in text and "TLSv1.3" in text, text
        eq(status(d, ca=OTHER.path("ca.pem")), "UNAVAILABLE", "a client that trusts others")
        eq(status(d, **{"grpc.ssl_target_name_override": "elsewhere"}), "UNAVAILABLE", "a client that wants another")


@test
def nothing_older_than_tls_1_2_is_spoken():
    with daemon_of(Port()) as d:
        assert "New, TLSv1.2" in s_client(d, "-tls1_2"), "TLS 1.2"
        for version in "-tls1", "-tls1_1":
            text = s_client(d, version, "-cipher", "ALL:@SECLEVEL=0")
            assert "Cipher is (NONE)" in text and "written 0 bytes" not in text, text
        wait_for("two lines in the log", lambda: d.log().count("SSL routines::unsupported protocol") == 2, 20)


@test
def plain_text_and_tls_do_not_hang_on_each_other():
    with daemon_of(Port()) as d, Brickd(BRICKS, modules=MODULES) as plain:
        watch = Stopwatch()
        eq(call(d.channel(), UNARY, HELLO, timeout=10)[1], "UNAVAILABLE", "plain text to a TLS port")
        eq(status(plain), "UNAVAILABLE", "TLS to a plain port")
        with socket.create_connection(("127.0.0.1", d.port)) as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            s.settimeout(10)
            s.recv(100)
        assert watch.elapsed().running < 8
        eq(status(d), "OK")
        eq(call(plain.channel(), UNARY, HELLO)[1], "OK")


def strangers():
    """Client certificates that no port of CA takes, by what is wrong with them."""
    self_signed = os.path.join(FOLDER, "self.pem"), os.path.join(FOLDER, "self.key")
    if not os.path.exists(self_signed[0]):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5",
                "-keyout", self_signed[1], "-out", self_signed[0], "-subj", "/CN=client")
    return {
        "another authority's": OTHER.issue("client"),
        "self-signed": self_signed,
        "expired": CA.issue("late", begin=-10, end=-5),
        "not yet valid": CA.issue("early", begin=5, end=10),
        "a server's": CA.issue("wrong", usage="serverAuth"),
    }


@test
def a_client_must_show_a_certificate():
    with daemon_of(Port(ca=CA.path("ca.pem"))) as d:
        eq(status(d, CLIENT), "OK")
        eq(status(d), "UNAVAILABLE", "none")
        for what, pair in strangers().items():
            eq(status(d, pair), "UNAVAILABLE", what)
        eq(status(d, CLIENT), "OK")


@test
def a_client_may_show_a_certificate():
    with daemon_of(Port(ca=CA.path("ca.pem"), client="optional")) as d:
        eq(status(d, CLIENT), "OK")
        eq(status(d), "OK", "none")
        for what, pair in strangers().items():
            eq(status(d, pair), "UNAVAILABLE", what)


class Load:
    """Unary calls without pause on one connection, and a stream that stays open, on another."""

    def __init__(self, daemon):
        self.stopping, self.statuses = threading.Event(), []
        self.unary = channel_of(daemon).unary_unary(UNARY)
        self.requests = threading.Semaphore(0)
        self.replies = channel_of(daemon).stream_stream(BIDI)(self.feed(), timeout=60)
        self.round_trip()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def feed(self):
        while True:
            self.requests.acquire()
            if self.stopping.is_set():
                return
            yield common_pb2.CommonRequest().SerializeToString()

    def round_trip(self):
        self.requests.release()
        next(self.replies)

    def run(self):
        while not self.stopping.is_set():
            try:
                self.unary(HELLO, timeout=10)
                self.statuses.append("OK")
                time.sleep(0.005)
            except grpc.RpcError as e:
                self.statuses.append(e.code().name)

    def stop(self):
        wait_for("more than 100 calls", lambda: len(self.statuses) > 100)
        self.stopping.set()
        self.requests.release()
        self.thread.join(20)
        eq(set(self.statuses), {"OK"})


@test
def certificates_change_while_calls_go_on():
    port, metrics = Port(), f"127.0.0.1:{free_port()}"
    with daemon_of(port, extra=f"workers: 2\nmetrics: {{ listen: '{metrics}' }}") as d:
        def replacements():
            return len(re.findall(r"ports\[0\]\.tls: the new files are in use; the certificate is valid until 2", d.log()))

        def shown(end):
            with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as reply:
                return re.findall(r"^brickd_certificate_expiry_timestamp_seconds(.*)$", reply.read().decode(), re.M) == [
                    f'{{port="{d.address}"}} {end}']

        workers = sorted(d.workers())
        load = Load(d)
        assert shown(expiry(SERVER))

        renamed = CA.issue("renamed", end=50)
        port.put(renamed)
        wait_served(d, renamed, 8)
        assert shown(expiry(renamed)), "of two workers, the one whose certificate ends first"
        wait_for("the first line", lambda: replacements() == 1, 20)
        load.round_trip()

        # written in place, one file a moment after the other: no half of it is taken or complained of
        written = CA.issue("written", end=80)
        shutil.copyfile(written[0], port.certificate)
        time.sleep(0.2)
        shutil.copyfile(written[1], port.key)
        wait_served(d, written, 8)
        wait_for("the second line", lambda: replacements() == 2, 20)
        wait_for("the second date", lambda: shown(expiry(written)), 20)
        load.round_trip()
        load.stop()
        eq(sorted(d.workers()), workers)
        assert " error " not in d.whole_log(), d.log()
        eq(replacements(), 2, "said by one worker")


@test
def certificates_change_while_a_stop_still_serves():
    port = Port()
    with daemon_of(port, extra="drain: { lame_duck: 20s }") as d:
        d.send(signal.SIGTERM)
        time.sleep(0.2)
        renamed = CA.issue("leaving", end=50)
        port.put(renamed)
        wait_served(d, renamed)
        d.send(signal.SIGTERM)  # the second does not wait
        eq(d.process.wait(10), 0)


@test
def a_link_on_the_way_to_the_files_may_be_swapped():
    """As Kubernetes changes the files of a secret: tls.pem -> ..data/tls.pem, ..data -> a new folder."""
    port = Port()
    for folder, pair in ("one", SERVER), ("two", CA.issue("swapped")):
        os.mkdir(port.path(folder))
        copy(pair[0], port.path(folder + "/tls.pem"))
        copy(pair[1], port.path(folder + "/tls.key"))
    for name in "tls.pem", "tls.key":
        os.unlink(port.path(name))
        os.symlink("..data/" + name, port.path(name))
    os.symlink("one", port.path("..data"))
    with daemon_of(port) as d:
        eq(served(d), first(SERVER))
        os.symlink("two", port.path("new"))
        os.rename(port.path("new"), port.path("..data"))
        wait_served(d, (port.path("two/tls.pem"),))


@test
def what_is_wrong_does_not_replace_what_is_right():
    port, other = Port(ca=CA.path("ca.pem"), client="optional"), CA.issue("mismatch")
    with daemon_of(port, extra="workers: 2") as d:
        def errors():
            return [line for line in d.log().splitlines() if " error " in line]

        copy(other[0], port.certificate)
        wait_for("the complaint", errors, 20)
        time.sleep(1.2)
        line, = errors()
        assert re.search(r"brickd\.yaml:3:\d+: ports\[0\]\.tls\.key: the key does not belong to the certificate in "
                         r"/.*/tls\.pem; the previous files stay in use", line), line
        eq(served(d), first(SERVER))

        os.unlink(port.key)
        wait_for("the second complaint", lambda: len(errors()) == 2, 20)
        assert "tls.key: No such file or directory" in errors()[1], errors()
        eq(served(d), first(SERVER))

        copy(other[1], port.key)
        wait_served(d, other, 6)
        wait_for("the good news", lambda: "the files are right again and in use" in d.log(), 20)
        time.sleep(1.2)
        eq(d.whole_log().count("the files are right again and in use"), 1, d.log())
        eq(len(errors()), 2)


@test
def the_authority_of_clients_changes_too():
    port = Port(ca=CA.path("ca.pem"))
    with daemon_of(port) as d:
        old, stranger = channel_of(d, CLIENT), OTHER.issue("client")
        eq(call(old, UNARY, HELLO)[1], "OK")
        eq(status(d, stranger), "UNAVAILABLE")
        copy(OTHER.path("ca.pem"), port.path("ca.pem"))
        wait_for("the new authority", lambda: status(d, stranger) == "OK", 20)
        eq(status(d, CLIENT), "UNAVAILABLE")
        eq(call(old, UNARY, HELLO)[1], "OK", "a connection from before")


@test
def a_mistake_is_located_and_nothing_starts():
    port = Port()
    d = daemon_of(port)
    os.chmod(port.key, 0o644)
    text = refused(d)
    assert re.search(r"brickd\.yaml:3:\d+: ports\[0\]\.tls\.key\.file: /.*/tls\.key: every user of this machine can "
                     r"read it; run chmod o-rw", text), text
    os.rename(port.key, port.path("real.key"))
    os.symlink("real.key", port.key)
    assert "every user of this machine can read it" in refused(d), "through a link"
    os.chmod(port.key, 0o602)
    assert "every user of this machine can change it" in refused(d)
    os.unlink(port.key)
    os.mkfifo(port.key)
    os.chmod(port.key, 0o600)
    assert "tls.key: not a regular file" in refused(d)
    os.unlink(port.key)
    os.unlink(port.certificate)
    text = refused(d)
    assert "tls.pem: No such file or directory" in text and "tls.key: No such file or directory" in text, text
    eq(d.start(ready=False).process.wait(20), 78)
    d.says("ports[0].tls.certificate")


@test
def a_mistake_elsewhere_hides_no_mistake_in_the_files():
    port = Port()
    os.unlink(port.certificate)
    for bricks in "  - { name: chat, module: none }\n", "  - { name: chat, modul: echo }\n":
        text = refused(daemon_of(port, bricks=bricks))
        assert "tls.pem: No such file" in text and "bricks[0]" in text, text


@test
def a_reload_with_a_wrong_certificate_is_refused():
    port = Port()
    with daemon_of(port) as d:
        copy(CA.issue("mismatch")[0], port.certificate)
        done = d.ctl("reload", check=False)
        eq(done.returncode, 78)
        assert "ports[0].tls.key: the key does not belong" in done.stderr, done.stderr
        eq(served(d), first(SERVER))


@test
def a_certificate_that_is_not_valid_now_is_said():
    ports = [Port(CA.issue("late", begin=-10, end=-5)), Port(CA.issue("soon", begin=-99, end=1)),
             Port(CA.issue("early", begin=5, end=10)), Port(SERVER)]
    d = daemon_of(ports[0], extra="workers: 2")
    for port in ports[1:]:
        d.port_extra += f'\n  - listen: "127.0.0.1:0"\n    tls: {{ {port.text} }}'
    d.write(BRICKS)
    with d:
        time.sleep(2.5)
        lines = [re.sub(r"^\S+ (\w+) .*(ports.*) \d\d:.*", r"\1 \2", line) for line in d.whole_log().splitlines()
                 if ".tls." in line]
        eq([re.sub(r"\d{4}-\d\d-\d\d", "DATE", line) for line in lines],
           ["error ports[0].tls.certificate: expired: DATE", "warning ports[1].tls.certificate: expires soon: DATE",
            "warning ports[2].tls.certificate: is not valid before DATE"], d.log())


@test
def a_unix_socket_has_tls():
    port, folder = Port(ca=CA.path("ca.pem")), temp_dir()
    d = daemon_of(port)
    d.address = f"unix:{folder}/socket"
    d.write(BRICKS)
    with d:
        eq(status(d, CLIENT, **{"grpc.ssl_target_name_override": "localhost"}), "OK")
        eq(status(d, **{"grpc.ssl_target_name_override": "localhost"}), "UNAVAILABLE")
        assert "Verification: OK" in s_client(d, "-CAfile", CA.path("ca.pem"), address=folder + "/socket")


@test
def a_socket_of_systemd_has_tls():
    port, number = Port(ca=CA.path("ca.pem")), free_port()
    d = daemon_of(port)
    d.address = "systemd:grpc"
    d.write(BRICKS)
    d.address = f"127.0.0.1:{number}"
    with open(d.log_path, "a") as log:
        d.process = subprocess.Popen(
            ["systemd-socket-activate", "-l", d.address, "--fdname=grpc",
             *(f"-E{name}" for name in ("BRICKD_WORKER", "PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_PRELOAD")),
             os.path.join(BUILD, "src", "brickd"), "-c", d.config], stdout=log, stderr=log, env=d.env)
    try:
        wait_for("the socket", lambda: "Listening" in d.log())
        eq(status(d, CLIENT), "OK")
        eq(status(d), "UNAVAILABLE")
    finally:
        d.stop()


@test
def the_key_may_be_a_credential_or_in_the_environment():
    for form, env in (("credential: tls.key", {}), ("env: TLS_KEY", {"TLS_KEY": read(SERVER[1]).decode()})):
        port = Port()
        port.text = f"certificate: {port.certificate}, key: {{ {form} }}"
        with daemon_of(port, env={"CREDENTIALS_DIRECTORY": port.folder, **env}) as d:
            eq(status(d), "OK", form)


@test
def another_port_may_have_other_files():
    other, number = CA.issue("second"), free_port()
    d = daemon_of(Port())
    d.port_extra += f'\n  - listen: "127.0.0.1:{number}"\n    tls: {{ {Port(other).text} }}'
    d.write(BRICKS)
    with d:
        eq(served(d), first(SERVER))
        d.port = number
        eq(served(d), first(other))


@test
def brickctl_knows_a_port_of_the_configuration():
    stranger = OTHER.issue("stranger", san="DNS:elsewhere")
    port = Port(stranger)
    with daemon_of(port) as d:
        eq(d.ctl("call", "chat", "hello").stdout, "Echo: hello\n")
        eq(d.ctl("health").stdout, "SERVING\n")

        # it is no other certificate that it takes, whoever has issued that
        copy(OTHER.issue("other")[0], port.certificate)
        done = d.ctl("health", check=False)
        eq((done.returncode, done.stdout), (2, ""))
        assert done.stderr.startswith("gRPC error UNAVAILABLE: ") and done.stderr.count("\n") == 1, done.stderr
        copy(stranger[0], port.certificate)
        eq(d.ctl("health", "--tls-ca", OTHER.path("ca.pem"), check=False).returncode, 2)
        eq(d.ctl("health", "--tls-ca", OTHER.path("ca.pem"), "--tls-name", "elsewhere").stdout, "SERVING\n")
        os.unlink(port.certificate)
        done = d.ctl("health", check=False)
        eq(done.returncode, 78)
        assert "tls.pem: No such file or directory; say --tls-ca" in done.stderr, done.stderr


@test
def brickctl_calls_with_a_certificate():
    with daemon_of(Port(ca=CA.path("ca.pem"))) as d:
        pair = ["--tls-cert", CLIENT[0], "--tls-key", CLIENT[1]]
        address = ["-a", d.address, "--tls-ca", CA.path("ca.pem")]
        eq(d.ctl("health", *pair).stdout, "SERVING\n")
        eq(d.ctl("call", "LLM", "hello", *address, *pair).stdout, "Echo: hello\n")
        done = d.ctl("call", "LLM", "hello", *address, check=False)
        eq((done.returncode, done.stdout), (2, ""), done.stderr)
        eq(d.ctl("health", *address, "--tls-name", "elsewhere", *pair, check=False).returncode, 2)
        eq(d.ctl("health", "-a", d.address, "--tls", *pair, check=False).returncode, 2, "an unknown authority")
        eq(d.ctl("health", "-a", d.address, check=False).returncode, 2, "plain text")
        for wrong, words in ([], "requires a client certificate; use --tls-cert and --tls-key"), \
                            (pair[:2], "--tls-cert and --tls-key must be used together"), \
                            (["--tls-cert", "/none", "--tls-key", CLIENT[1]], "--tls-cert: /none: No such file"), \
                            (pair + ["--tls-ca", "/none"], "--tls-ca: /none: No such file or directory"):
            done = d.ctl("health", *wrong, check=False)
            eq(done.returncode, 64, done.stderr)
            assert words in done.stderr, done.stderr
        junk = os.path.join(FOLDER, "junk")
        with open(junk, "w") as f:
            f.write("junk\n")
        for wrong in ["--tls-ca", junk], ["--tls-cert", junk, "--tls-key", junk]:
            eq(d.ctl("health", *address, *pair, *wrong, "-t", "5s", check=False).returncode, 2, str(wrong))


@test
def a_slow_handshake_ends():
    d = daemon_of(Port())
    d.port_extra += "\n    limits: { handshake: 1s }"
    d.write(BRICKS)
    with d:
        watch = Stopwatch()
        silent, halfway = (socket.create_connection(("127.0.0.1", d.port), timeout=10) for _ in range(2))
        halfway.sendall(bytes.fromhex("1603010200010001fc0303"))
        for s in silent, halfway:
            with s:
                try:
                    while s.recv(1000):  # an alert may come first
                        pass
                except ConnectionResetError:
                    pass
        took = watch.elapsed()
        assert 0.5 < took.seconds and took.running < 5, took
        eq(status(d), "OK")


main()
