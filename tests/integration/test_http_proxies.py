# SPDX-License-Identifier: MIT
"""Ports with `protocol: http` behind nginx, HAProxy and Caddy of Debian, as little configured as they can be."""
import http.client
import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from door import CHAT, Door, ask, brick, error, events, question, text_of
from harness import eq, free_port, main, temp_dir, test, wait_for
from nginx_conf import nginx_conf

TIMEOUT = 3  # seconds without a byte, after which a proxy gives up
SILENT = 4  # seconds before the brick `silent` says something

NGINX = nginx_conf("""\
  {upstream}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://{target};
      proxy_read_timeout {timeout}s;
      {more}
    }}
  }}
""")
HAPROXY = """defaults
  mode http
  timeout connect 5s
  timeout client {timeout}s
  timeout server {timeout}s
frontend web
  bind 127.0.0.1:{port}
  default_backend door
backend door
  server one {target}
"""
CADDY = """{{
  admin off
  auto_https off
  storage file_system {folder}
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy {target} {{
    transport http {{
      read_timeout {timeout}s
    }}
  }}
}}
"""
KEPT_UPSTREAM = "upstream door.example {{ server {target}; keepalive 8; }}"
KEPT = "proxy_http_version 1.1; proxy_set_header Connection '';"


class Proxy:
    def __init__(self, template, *command, keeps=True, answers=False, **parts):
        self.template, self.command, self.parts = template, command, parts
        self.keeps = keeps  # its connections
        self.answers = answers  # 504 itself, when the server is silent for too long

    def start(self, door):
        folder, self.port = temp_dir(), free_port()
        parts = {"upstream": "", "more": "", "target": door.address} | self.parts
        parts["upstream"] = parts["upstream"].format(target=door.address)
        path = os.path.join(folder, "config")
        with open(path, "w") as f:
            f.write(self.template.format(folder=folder, port=self.port, timeout=TIMEOUT, **parts))
        with open(os.path.join(folder, "log"), "w") as log:
            self.process = subprocess.Popen([part.format(path=path) for part in self.command], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=os.environ | {"HOME": folder})

        def serves():
            if self.process.poll() is not None:
                with open(log.name) as f:
                    raise AssertionError(f"{self.command[0]} has ended: {f.read()}")
            try:
                return ask(self.client(), url="/health")[0] == 200
            except OSError:
                return False

        wait_for(self.command[0], serves)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def client(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)


START_NGINX = ("nginx", "-e", "stderr", "-c", "{path}")
PROXIES = {
    "nginx": Proxy(NGINX, *START_NGINX, keeps=False, answers=True),
    "nginx with keepalive": Proxy(NGINX, *START_NGINX, answers=True, target="door.example", upstream=KEPT_UPSTREAM, more=KEPT),
    "haproxy": Proxy(HAPROXY, "haproxy", "-db", "-f", "{path}", answers=True),
    "caddy": Proxy(CADDY, "caddy", "run", "--adapter", "caddyfile", "--config", "{path}"),
}


def other(name, options, more=""):
    return brick(name, options, f", match: {{ model_id: [a-{name}] }}{more}")


BRICKS = (brick(options="delay: 300ms, tokens: 5").replace("name: chat", "name: chat, default: true")
          + other("quick", "tokens: 3") + other("silent", f"delay: {SILENT}s") + other("stuck", "delay: 1m")
          + other("broken", "error_code: 4005"))


class Client:
    def __init__(self, proxy):
        self.proxy = proxy

    def ask(self, **more):
        client = self.proxy.client()
        try:
            return ask(client, "POST", CHAT, question(**more))
        finally:
            client.close()

    def begin(self, **more):
        client = self.proxy.client()
        client.request("POST", CHAT, question(**more))
        return client


def pieces_arrive_as_they_are_made(door, proxy):
    client = Client(proxy).begin(stream=True)
    answer, times = client.getresponse(), []
    for line in answer:
        if line.startswith(b"data: ") and b"tok" in line:
            times.append(time.monotonic())
    eq(len(times), 5)
    assert times[-1] - times[0] > 0.6, times  # of 1.2; all at once it would be nothing
    client.close()


def a_silent_stream_outlives_their_timeouts(door, proxy):
    status, _, body = Client(proxy).ask(model="silent", stream=True, max_tokens=1)
    eq((status, text_of(body), events(body)[-1]), (200, "tok0 ", "[DONE]"))
    if proxy.answers:
        eq(Client(proxy).ask(model="silent")[0], 504, "without a stream, the proxy does give up")
        wait_for("the end of the call", lambda: door.in_flight() == 0)


def connections_are_kept(door, proxy):
    client = proxy.client()
    for _ in range(20):
        eq(ask(client, "POST", CHAT, question(model="quick"))[0], 200)
        eq(events(ask(client, "POST", CHAT, question(model="quick", stream=True))[2])[-1], "[DONE]")
    client.close()
    peers = wait_for("40 lines", lambda: len(found := re.findall(r"brick=quick .*peer=(\S+)", door.log())) == 40 and found)
    used = len(set(peers))
    eq(used, 40 if not proxy.keeps else used)
    assert not proxy.keeps or used <= 20, used  # Caddy waits a moment until it uses one again


def who_leaves_ends_the_call(door, proxy):
    for more in ({"model": "stuck"}, {"model": "stuck", "stream": True}, {"stream": True, "max_tokens": 1000}):
        client = Client(proxy).begin(**more)
        wait_for("the call", lambda: door.in_flight() == 1)
        if more.get("max_tokens"):
            answer = client.getresponse()
            while b"tok1" not in answer.readline():
                pass
            answer.close()
        client.close()
        wait_for(f"the end of the call {more}", lambda: door.in_flight() == 0)


def errors_pass(door, proxy):
    status, head, body = Client(proxy).ask(model="broken")
    eq((status, error(body)["brick_code"]), (429, 4005))
    status, head, body = Client(proxy).ask(model="none", stream=True)
    eq((status, error(body)["code"], head["x-should-retry"]), (404, "model_not_found", "false"))
    status, _, body = ask(proxy.client(), "POST", CHAT, "x" * 900000)
    eq((status, error(body)["code"]), (400, "invalid_json"))
    large = json.loads(ask(proxy.client(), "POST", CHAT, question("x" * 900000, model="quick"))[2])
    eq(len(large["choices"][0]["message"]["content"]), 900006)


def check(proxy):
    with Door(BRICKS, http="{ keepalive: 1s, hosts: [door.example] }") as door:
        proxy.start(door)
        try:
            for step in (pieces_arrive_as_they_are_made, connections_are_kept, errors_pass, who_leaves_ends_the_call,
                         a_silent_stream_outlives_their_timeouts):
                step(door, proxy)
        finally:
            proxy.stop()


def declare(name, checked):
    def run():
        checked.result()

    run.__name__ = "behind_" + name.replace(" ", "_")
    test(run)


# All at once: they mostly wait.
with ThreadPoolExecutor(len(PROXIES)) as pool:
    for name, proxy in PROXIES.items():
        declare(name, pool.submit(check, proxy))
    main()
