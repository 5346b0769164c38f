# SPDX-License-Identifier: MIT
"""Programs that pass gRPC calls on to another server, each as one who knows it would set it up for that: one thread where
that can be said, HTTP/2 without TLS on both sides, connections kept, no log."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

from nginx_conf import nginx_conf  # noqa: E402
from scenarios import LOADS  # noqa: E402
from servers import Server, free_port  # noqa: E402

PROXIED = [load for load in LOADS if load.name in ("unary 49 B, 1x1", "unary 49 B, 1x64", "stream of 100, 1x16")]

BRICKD = """
ports:
  - listen: "127.0.0.1:{port}"
bricks:
  - {{ name: far, module: remote, options: {{ type: LLM, to: "127.0.0.1:{backend}" }}, limits: {{ concurrency: 100000 }} }}
log: {{ access: off }}
"""
NGINX = nginx_conf("""\
  tcp_nodelay on;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 1000;
  upstream backend {{
    server 127.0.0.1:{backend};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} http2;
    location / {{
      grpc_pass grpc://backend;
      grpc_socket_keepalive on;
    }}
  }}
""", main="master_process off;", events="worker_connections 4096;")
HAPROXY = """
global
  nbthread 1
  maxconn 4096
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend front
  bind 127.0.0.1:{port} proto h2
  default_backend back
backend back
  http-reuse always
  server one 127.0.0.1:{backend} proto h2 pool-max-conn 256
"""
CADDY = """
{{
  admin off
  auto_https off
  servers {{
    protocols h1 h2c
  }}
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy h2c://127.0.0.1:{backend} {{
    flush_interval -1
  }}
}}
"""


class Proxy(Server):
    """A proxy in front of the backend; its configuration is in the folder."""

    def __init__(self, name, text, command, kit, backend):
        folder = os.path.join(kit.folder, "proxy-" + name)
        os.makedirs(folder, exist_ok=True)
        port = free_port()
        config = os.path.join(folder, "config")
        with open(config, "w") as f:
            f.write(text.format(port=port, backend=backend.port, folder=folder))
        env = kit.env | {"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        super().__init__(name, command.format(config=config, folder=folder), kit.folder, port, env=env)


def brickd(kit, backend):
    text = BRICKD + 'control: "{folder}/control"\n'
    return Proxy("brickd", text, f"{kit.build}/src/brickd -c {{config}}", kit, backend)


PROGRAMS = {
    "nginx": (NGINX, "{program} -e stderr -c {{config}}"),
    "haproxy": (HAPROXY, "{program} -db -f {{config}}"),
    "caddy": (CADDY, "{program} run --adapter caddyfile --config {{config}}"),
}


def proxies(kit, backend):
    """Starts brickd and those of the programs that are installed."""
    yield brickd(kit, backend)
    for name, (text, command) in PROGRAMS.items():
        program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        if program:
            yield Proxy(name, text, command.format(program=program), kit, backend)
