# SPDX-License-Identifier: MIT
"""Whom brickd takes for the client behind proxies: PROXY protocol, X-Forwarded-For and Forwarded, on both kinds of port.

Proxies are played by sockets of other addresses of this machine."""
import contextlib
import ipaddress
import itertools
import os
import re
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

import http2
from door import UNARY, brick
from harness import Brickd, eq, free_port, main, temp_dir, test, wait_for
from nginx_conf import nginx_conf
from pki import Authority

PROXY, FORWARDER, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
CLIENT = "203.0.113.7"
V1 = f"PROXY TCP4 {CLIENT} 127.0.0.1 4711 443\r\n".encode()
V2 = b"\r\n\r\n\0\r\nQUIT\n"
LIMITS = "limits: { handshake: 1s, connections: 6, connections_per_address: 2 }"
ids = (f"request-{i}" for i in itertools.count())

folder = temp_dir()
authority = Authority(os.path.join(folder, "pki"))
authority.issue("server")
TLS = f'tls: {{ certificate: {authority.path("server.pem")}, key: {{ file: {authority.path("server.key")} }} }}'


def v2(client=CLIENT, port=4711, command=0x21, more=b""):
    ip = ipaddress.ip_address(client)
    body = ip.packed * 2 + struct.pack(">HH", port, 443) + more
    return V2 + bytes([command, 0x11 if ip.version == 4 else 0x21]) + struct.pack(">H", len(body)) + body


class Ports(Brickd):
    """Plain text, TLS and a unix socket, for gRPC and for HTTP; and the metrics."""

    def __init__(self):
        self.metrics = free_port()
        self.places, lines = {}, []
        proxies = f"proxy_protocol: [{PROXY}], forwarded: [{FORWARDER}, 10.0.0.0/8]"
        for protocol in ("grpc", "http"):
            where = {(protocol, "plain"): (free_port(), proxies), (protocol, "tls"): (free_port(), f"{proxies}, {TLS}"),
                     (protocol, "unix"): (os.path.join(temp_dir(), "s"), "proxy_protocol: [unix]"),
                     (protocol, "near"): (os.path.join(temp_dir(), "s"), "forwarded: [unix]"),
                     (protocol, "few"): (free_port(), f"{proxies}, {LIMITS}"),
                     (protocol, "behind"): (free_port(), "forwarded: [127.0.0.1]"),
                     (protocol, "named"): (free_port(), "proxy_protocol: [127.0.0.1]")}
            for place, (at, more) in where.items():
                self.places[place] = at
                listen = f"unix:{at}" if isinstance(at, str) else f"127.0.0.1:{at}"
                lines.append(f'  - {{ listen: "{listen}", protocol: {protocol}, {more} }}')
        super().__init__(brick(), port_extra="\n".join(lines),
                         extra=f'log: {{ access: all }}\nmetrics: {{ listen: "127.0.0.1:{self.metrics}" }}')

    def rejected(self, place, reason):
        at = self.places[place]
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=20) as answer:
            page = answer.read().decode()
        match = re.search(rf'brickd_rejected_total{{port="[^"]*{at}",reason="{reason}"}} (\d+)', page)
        return int(match.group(1))


def connect(place, source, header=b""):
    at = running.places[place]
    s = socket.socket(socket.AF_UNIX if isinstance(at, str) else socket.AF_INET)
    s.settimeout(20)
    if isinstance(at, int):
        s.bind((source, 0))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.connect(at if isinstance(at, str) else ("127.0.0.1", at))
    s.sendall(header)
    return s


def secure(place, s):
    if place[1] != "tls":
        return s
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2" if place[0] == "grpc" else "http/1.1"])
    return context.wrap_socket(s)


def request(place, key, fields=()):
    if place[0] == "http":
        more = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nx-request-id: {key}\r\n{more}\r\n".encode()
    more = [(name.lower().encode(), value.encode()) for name, value in (("x-request-id", key), *fields)]
    return (http2.PREFACE + http2.SETTINGS_FRAME + http2.frame(http2.SETTINGS, http2.ACK)
            + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.request(UNARY, *more))
            + http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b"\x12\x01a")))


def peer(key):
    """Who has asked, as the access line of the request has it."""
    found = wait_for(key, lambda: re.search(rf'request_id={key} .*peer="?([^\s"]+)', running.log()))
    return found.group(1)


def ask(place, source=PROXY, header=b"", fields=(), keep=None):
    """One request on a connection of its own: whose it was."""
    key = next(ids)
    s = secure(place, connect(place, source, header))
    s.sendall(request(place, key, fields))
    try:
        return peer(key)
    finally:
        if keep is None:
            s.close()
        else:
            keep.append(s)


def is_closed(s, limit=10):
    s.settimeout(limit)
    try:
        while s.recv(1 << 16):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


KINDS = ("grpc", "http")


@test
def a_header_names_the_client():
    for protocol in KINDS:
        for kind in ("plain", "tls", "unix"):
            for header, client in ((V1, f"ipv4:{CLIENT}:4711"), (v2(), f"ipv4:{CLIENT}:4711"),
                                   (v2(more=b"\x04\0\3abc"), f"ipv4:{CLIENT}:4711"),
                                   (v2("2001:db8::7"), "ipv6:[2001:db8::7]:4711"),
                                   (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", "ipv6:[2001:db8::7]:4711")):
                found = ask((protocol, kind), header=header).replace("%5B", "[").replace("%5D", "]")
                eq(found, client, (protocol, kind, header))


@test
def connections_of_the_proxy_itself_are_served():
    for protocol in KINDS:
        for header in (b"PROXY UNKNOWN\r\n", v2(command=0x20), V2 + b"\x20\0\0\0", V2 + b"\x21\x31\0\xd8" + bytes(216)):
            assert ask((protocol, "plain"), header=header).startswith(f"ipv4:{PROXY}:"), header
            eq(ask((protocol, "unix"), header=header), f"unix:uid={os.getuid()}")
        connect((protocol, "plain"), PROXY).close()  # health checks as TCP connections
        connect((protocol, "plain"), PROXY, V1).close()


@test
def a_header_may_come_slowly_and_with_the_request():
    for protocol in KINDS:
        place, key = (protocol, "plain"), next(ids)
        s = connect(place, PROXY)
        for byte in v2() + request(place, key)[:40]:
            s.sendall(bytes([byte]))
        s.sendall(request(place, key)[40:])
        eq(peer(key), f"ipv4:{CLIENT}:4711")
        s.close()


@test
def only_listed_proxies_have_headers():
    for protocol in KINDS:
        place = (protocol, "plain")
        before = running.rejected(place, "proxy_header")
        assert ask(place, STRANGER).startswith(f"ipv4:{STRANGER}:")
        for header in V1, v2():
            assert is_closed(connect(place, STRANGER, header + b"\r\n\r\n")), header
        eq(running.rejected(place, "proxy_header"), before)


@test
def a_proxy_must_send_a_header():
    for protocol in KINDS:
        place = (protocol, "plain")
        before = running.rejected(place, "proxy_header")
        wrong = (b"PROXY TCP4 1.2.3.4\r\n", V2 + b"\x21\x11\xff\xff", b"PROXY " + b"x" * 200, b"GET / HTTP/1.1\r\n\r\n",
                 http2.PREFACE)
        for header in wrong:
            assert is_closed(connect(place, PROXY, header)), header
        eq(running.rejected(place, "proxy_header"), before + len(wrong))
    running.says(f"Closed a connection of {PROXY} to 127.0.0.1:{running.places['grpc', 'plain']}: it did not begin with a PROXY header")


@test
def a_header_has_its_time():
    places = [(protocol, "few") for protocol in KINDS]
    before = [running.rejected(place, "handshake") for place in places]
    silent = [connect(place, PROXY, header) for place in places for header in (b"", b"PROXY ", v2()[:20])]
    for s in silent:
        assert is_closed(s)
    eq([running.rejected(place, "handshake") for place in places], [n + 3 for n in before])


@test
def limits_count_the_client_and_not_the_proxy():
    for protocol in KINDS:
        place, kept = (protocol, "few"), []
        before = running.rejected(place, "too_many_connections_of_address")
        ask(place, header=V1, keep=kept)
        ask(place, header=v2(), keep=kept)
        assert is_closed(connect(place, PROXY, V1))
        eq(running.rejected(place, "too_many_connections_of_address"), before + 1)
        ask(place, header=v2("203.0.113.8"), keep=kept)
        # `forwarded`: it has many clients.
        for _ in range(3):
            ask(place, FORWARDER, fields=[("X-Forwarded-For", CLIENT)], keep=kept)
        # All six places of the port are taken, also for those who would only send a header.
        assert is_closed(connect(place, PROXY))
        for s in kept:
            s.close()
        wait_for("places", lambda: ask_quietly(place))
        waiting = [connect(place, PROXY) for _ in range(6)]
        wait_for("no place", lambda: is_closed(connect(place, STRANGER), 0.2))
        for s in waiting:
            s.close()
        wait_for("places", lambda: ask_quietly(place))


def ask_quietly(place):
    s = connect(place, STRANGER)
    with contextlib.suppress(OSError):
        s.sendall(request(place, next(ids)))
        return bool(s.recv(1))
    return False


@test
def forwarded_fields_name_the_client():
    for protocol in KINDS:
        for kind, source in (("plain", FORWARDER), ("tls", FORWARDER), ("near", None)):
            place = (protocol, kind)
            for fields, client in (([("X-Forwarded-For", CLIENT)], f"ipv4:{CLIENT}"),
                                   ([("X-Forwarded-For", "2001:db8::7")], "ipv6:[2001:db8::7]"),
                                   ([("Forwarded", f'for=1.1.1.1, for="{CLIENT}:99";proto=https')], f"ipv4:{CLIENT}"),
                                   ([("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", CLIENT)], f"ipv4:{CLIENT}")):
                eq(ask(place, source, fields=fields), client, (place, fields))
        place = (protocol, "plain")
        chain = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", f"{CLIENT}, 10.1.2.3"), ("X-Forwarded-For", "10.4.5.6")]
        eq(ask(place, FORWARDER, fields=chain), f"ipv4:{CLIENT}")
        assert ask(place, FORWARDER, fields=[("X-Forwarded-For", "nonsense")]).startswith(f"ipv4:{FORWARDER}:")
        assert ask(place, STRANGER, fields=[("X-Forwarded-For", CLIENT)]).startswith(f"ipv4:{STRANGER}:")
        # Of a proxy behind a proxy: the header names the nearer one.
        eq(ask(place, header=v2("10.1.1.1"), fields=[("X-Forwarded-For", CLIENT)]), f"ipv4:{CLIENT}")
        assert ask(place, header=v2(), fields=[("X-Forwarded-For", "1.1.1.1")]).startswith(f"ipv4:{CLIENT}:")


HAPROXY = """defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen http
  bind 127.0.0.1:{ports[http]}
  option forwardfor
  server one 127.0.0.1:{http_behind} check
listen grpc
  bind 127.0.0.1:{ports[grpc]} proto h2
  option forwardfor
  server one 127.0.0.1:{grpc_behind} proto h2
listen v1
  mode tcp
  bind 127.0.0.1:{ports[v1]}
  server one 127.0.0.1:{http_named} send-proxy check inter 100ms
listen v2
  mode tcp
  bind 127.0.0.1:{ports[v2]}
  server one 127.0.0.1:{grpc_named} send-proxy-v2 check inter 100ms
"""
NGINX = nginx_conf("""\
  server {{
    listen 127.0.0.1:{ports[http]};
    location / {{
      proxy_pass http://127.0.0.1:{http_behind};
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
  server {{
    listen 127.0.0.1:{ports[grpc]} http2;
    location / {{
      grpc_pass grpc://127.0.0.1:{grpc_behind};
      grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
""", main="""\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
stream {{
  proxy_protocol on;
  server {{
    listen 127.0.0.1:{ports[v1]};
    proxy_pass 127.0.0.1:{http_named};
  }}
  server {{
    listen 127.0.0.1:{ports[v2]};
    proxy_pass 127.0.0.1:{grpc_named};
  }}
}}""")
CADDY = """{{
  admin off
  auto_https off
  storage file_system {folder}
  servers {{
    protocols h1 h2c
  }}
}}
http://:{ports[http]} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{http_behind}
}}
http://:{ports[grpc]} {{
  bind 127.0.0.1
  reverse_proxy h2c://127.0.0.1:{grpc_behind}
}}
"""


@contextlib.contextmanager
def proxy(template, *command):
    """A real one; its ports."""
    folder, ports = temp_dir(), {name: free_port() for name in ("http", "grpc", "v1", "v2")}
    config, where = os.path.join(folder, "config"), {"_".join(place): at for place, at in running.places.items()}
    with open(config, "w") as f:
        f.write(template.format(folder=folder, ports=ports, **where))
    with open(os.path.join(folder, "log"), "w") as log:
        process = subprocess.Popen([*command, config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=os.environ | {"HOME": folder})
    try:
        wait_for(command[0], lambda: socket.socket().connect_ex(("127.0.0.1", ports["http"])) == 0 or process.poll() is not None)
        yield ports
    finally:
        process.terminate()
        process.wait(20)


def ask_through(port, protocol):
    """Whose request it was that a client of another address has made; again, until the proxy knows that brickd serves."""
    keys = []

    def once():
        keys.append(key := next(ids))
        with socket.socket() as s:
            s.settimeout(5)
            s.bind((STRANGER, 0))
            s.connect(("127.0.0.1", port))
            s.sendall(request((protocol, ""), key))
            with contextlib.suppress(OSError):
                s.recv(1 << 16)
        found = re.search(rf"request_id=({'|'.join(keys)}) .*peer=(\S+)", running.log())
        return found and found.group(2)

    return wait_for("an answer through the proxy", once)


@test
def behind_haproxy():
    with proxy(HAPROXY, "haproxy", "-db", "-f") as ports:
        for name, protocol in ("http", "http"), ("grpc", "grpc"):
            eq(ask_through(ports[name], protocol), f"ipv4:{STRANGER}")
        refused = [running.rejected((protocol, "named"), "proxy_header") for protocol in KINDS]
        for name, protocol in ("v1", "http"), ("v2", "grpc"):
            assert ask_through(ports[name], protocol).startswith(f"ipv4:{STRANGER}:"), name
        eq([running.rejected((protocol, "named"), "proxy_header") for protocol in KINDS], refused, "of its health checks")


@test
def behind_nginx():
    with proxy(NGINX, "nginx", "-e", "stderr", "-c") as ports:
        for protocol in KINDS:
            eq(ask_through(ports[protocol], protocol), f"ipv4:{STRANGER}")
        for name, protocol in ("v1", "http"), ("v2", "grpc"):
            assert ask_through(ports[name], protocol).startswith(f"ipv4:{STRANGER}:"), name


@test
def behind_caddy():
    with proxy(CADDY, "caddy", "run", "--adapter", "caddyfile", "--config") as ports:
        for protocol in KINDS:
            eq(ask_through(ports[protocol], protocol), f"ipv4:{STRANGER}")


@test
def a_reload_loses_none_that_wait():
    waiting = {place: connect(place, PROXY, V1[:10]) for place in (("grpc", "plain"), ("http", "plain"))}
    time.sleep(0.1)  # until they are accepted; if they are not, the new worker does that
    running.ctl("reload")
    for place, s in waiting.items():
        key = next(ids)
        s.sendall(V1[10:] + request(place, key))
        eq(peer(key), f"ipv4:{CLIENT}:4711")
        s.close()


@test
def a_stop_does_not_wait_for_headers():
    waiting = [connect((protocol, "plain"), PROXY, b"PROXY") for protocol in KINDS]
    time.sleep(0.1)
    status, elapsed = running.stop()
    eq(status, 0)
    assert elapsed.running < 5, elapsed
    for s in waiting:
        assert is_closed(s)


with Ports() as running:
    main()
