# SPDX-License-Identifier: MIT
"""A brickd for the clients of gRPC in this folder: bricks of all types, on ports of every kind that clients meet."""
import hashlib
import json
import os

from harness import BUILD, Brickd, temp_dir
from pki import Authority
from ports import free_port

TYPES = ("Common", "LLM", "Guard", "Intention", "Rectify", "Retrieval", "Translate", "Compose")
TOKEN = "a-token-of-alice"


def brick(name, kind, more="", **options):
    """The bundled echo."""
    options = json.dumps({"type": kind} | options)
    return f"  - {{ name: {name}, module: echo, options: {options} {more} }}\n"


def match(model):
    return f", match: {{ model_id: {model} }}"


ECHOES = [kind.lower() for kind in TYPES] + ["slow", "late", "busy"]
FAULTS = ["contract-" + kind.lower() for kind in TYPES]
BRICKS = "".join(
    [brick(kind.lower(), kind, ", default: true" if kind == "LLM" else "") for kind in TYPES]
    # a message each 20 ms without an end; a reply after 4 s; one call at a time
    + [brick("slow", "LLM", match("slow"), delay="20ms", tokens=1000000),
       brick("late", "LLM", match("late"), delay="4s"),
       brick("busy", "LLM", match("busy") + ", limits: { concurrency: 1, queue: 0 }", delay="500ms")]
    # behaves as the request says
    + [f"  - {{ name: contract-{kind.lower()}, module: {BUILD}/tests/module/contract.so, options: {{ type: {kind} }} }}\n"
       for kind in TYPES])


class Served(Brickd):
    """Its ports: plain (the echoes), faults (the contracts), gzip, tls (with a token), mutual (with a certificate), unix."""

    def __init__(self):
        self.ca = Authority(os.path.join(temp_dir(), "ca"))
        certificate, key = self.ca.issue("server")
        self.client = self.ca.issue("client", usage="clientAuth")
        self.ports = {name: f"127.0.0.1:{free_port()}" for name in ("faults", "gzip", "tls", "mutual")}
        self.ports["unix"] = "unix:" + os.path.join(temp_dir(), "grpc")
        tls = f"certificate: {certificate}, key: {{ file: {key} }}"
        open_to_all = f"authenticate: off, bricks: {json.dumps(ECHOES)}"
        kinds = {
            "faults": f"authenticate: off, bricks: {json.dumps(FAULTS)}",
            "gzip": f"compression: gzip, {open_to_all}",
            "tls": f"tls: {{ {tls} }}, bricks: {json.dumps(ECHOES)}",
            "mutual": f"tls: {{ {tls}, client_ca: {self.ca.path('ca.pem')} }}, {open_to_all}",
            "unix": open_to_all,
        }
        ports = "".join(f'  - {{ listen: "{self.ports[name]}", {what} }}\n' for name, what in kinds.items())
        super().__init__(BRICKS, "identities: identities.yaml\nlog: { access: all }",
                         f"    authenticate: off\n    bricks: {json.dumps(ECHOES)}\n{ports}",
                         modules=os.path.join(BUILD, "src", "bricks"))
        self.ports["plain"] = self.address
        with open(os.path.join(self.dir, "identities.yaml"), "w") as f:
            digest = hashlib.sha256(TOKEN.encode()).hexdigest()
            f.write(f'identities:\n  - {{ name: alice, token: "sha256:{digest}", allow: ["*"] }}\n')

    def told(self):
        """What a client has to know, as JSON."""
        return json.dumps(self.ports | {
            "ca": self.ca.path("ca.pem"), "certificate": self.client[0], "key": self.client[1], "token": TOKEN,
            "brickctl": os.path.join(BUILD, "src", "ctl", "brickctl"), "config": self.config})

    def in_flight(self):
        return sum(brick["in_flight"] for brick in json.loads(self.ctl("status", "--json").stdout)["bricks"])
