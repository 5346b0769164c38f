# SPDX-License-Identifier: MIT
"""A real Prometheus scrapes brickd, and every query of the Grafana dashboard finds something there."""
import hashlib
import json
import math
import os
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request

from harness import SOURCE, Brickd, call, eq, free_port, generate_stubs, main, path, stream, temp_dir, test, wait_for
from pki import Authority

generate_stubs()
from protocols.grpc.common import common_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

BRICKS = """\
  - { name: chat, module: contract, options: { type: LLM } }
  - { name: front, module: pipeline, options: { target: chat }, default: true }
  - { name: slow, module: blocking, options: { delay: 5ms }, limits: { threads: 1 }, match: { x-brick: slow } }"""
UNARY, OUTPUT, COMMON = path("LLM", "Unary"), path("LLM", "OutputStreaming"), path("Common", "Unary")
USAGE = [("x-usage-prompt-tokens", "20"), ("x-usage-completion-tokens", "5"), ("x-model", "m-1")]
WHO = ("authorization", "Bearer tester's")
IDENTITIES = "identities:\n  - { name: tester, token: 'sha256:%s', allow: ['*'], tokens: { day: 1M } }\n" % (
    hashlib.sha256(b"tester's").hexdigest())
# What Grafana puts in place of the dashboard's variables.
VARIABLES = {"instance": ".*", "brick": ".*", "job": ".*", "__rate_interval": "5s"}


class Prometheus:
    def __init__(self, target):
        self.dir, self.address = temp_dir(), f"127.0.0.1:{free_port()}"
        config = os.path.join(self.dir, "prometheus.yml")
        with open(config, "w") as f:
            f.write("global: { scrape_interval: 500ms }\n"
                    f"scrape_configs: [{{ job_name: brickd, static_configs: [{{ targets: ['{target}'] }}] }}]\n")
        with open(os.path.join(self.dir, "log"), "w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.dir}/data",
                 f"--web.listen-address={self.address}", "--log.level=warn"],
                stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, where, **arguments):
        url = f"http://{self.address}/api/v1/{where}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as reply:
            return json.load(reply)["data"]

    def query(self, expression):
        return [(sample["metric"], float(sample["value"][1]))
                for sample in self.get("query", query=expression)["result"]]

    def scrapes(self):
        try:
            return self.query("count_over_time(up[1m])")
        except OSError:
            return []


def request(case):
    return llm_pb2.LLMRequest(prompt="case:" + case).SerializeToString()


def calls_of_every_kind(channel):
    question = common_pb2.CommonRequest()
    question.data.update({"prompt": "case:ok"})
    for case in "ok", "fail-code":
        call(channel, UNARY, request(case), [("x-code", "4001"), WHO])
    stream(channel, OUTPUT, request("three"), [WHO])
    stream(channel, OUTPUT, request("metadata"), [("x-brick", "chat"), WHO, *USAGE])
    call(channel, COMMON, question.SerializeToString(), [WHO])
    call(channel, COMMON, b"", [("x-brick", "slow"), WHO])
    call(channel, "/no.such/Method", b"", [WHO])
    call(channel, "/grpc.health.v1.Health/Check")
    call(channel, UNARY)


def expressions():
    with open(os.path.join(SOURCE, "conf", "grafana", "brickd.json")) as f:
        dashboard = json.load(f)
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert len(found) > 30
    for title, expression in found:
        used = set(re.findall(r"\$\{?(\w+)", expression))
        assert used <= VARIABLES.keys() and used - {"__rate_interval"} <= names, (title, used)
        yield title, re.sub(r"\$(\w+)", lambda match: VARIABLES[match[1]], expression)


@test
def the_dashboard_finds_what_it_asks_for():
    metrics = f"127.0.0.1:{free_port()}"
    identities = os.path.join(temp_dir(), "identities.yaml")
    with open(identities, "w") as f:
        f.write(IDENTITIES)
    extra = f"identities: {identities}\nstate: null\nmetrics: {{ listen: '{metrics}', genai: true }}"
    certificate, key = Authority(os.path.join(temp_dir(), "ca")).issue("server")
    secure = (f"  - listen: '127.0.0.1:{free_port()}'\n"
              f"    tls: {{ certificate: {certificate}, key: {{ file: {key} }} }}")
    with Brickd(BRICKS, extra=extra, port_extra=secure) as daemon, Prometheus(metrics) as prometheus:
        stop = threading.Event()

        def load():
            channel = daemon.channel()
            while not stop.is_set():
                calls_of_every_kind(channel)
                time.sleep(0.02)

        loader = threading.Thread(target=load)
        loader.start()
        try:
            wait_for("eight scrapes", lambda: sum(n for _, n in prometheus.scrapes()) >= 8, 20)
            problems = []
            for title, expression in expressions():
                samples = prometheus.query(expression)
                if not any(math.isfinite(value) for _, value in samples):
                    problems.append(f"{title}: {expression}: {samples}")
            assert not problems, "\n".join(problems)
        finally:
            stop.set()
            loader.join()

        target, = prometheus.get("targets")["activeTargets"]
        eq((target["health"], target["lastError"]), ("up", ""))
        # Every family is taken for what it is.
        types = {name: entries[0]["type"] for name, entries in prometheus.get("metadata").items()
                 if name.startswith("brickd_")}
        eq(types["brickd_requests_total"], "counter")
        eq(types["brickd_request_duration_seconds"], "histogram")
        eq(len(types), 47)

        # Prometheus has in the end what brickd has.
        def total():
            return sum(n for _, n in prometheus.query('brickd_requests_total{brick="chat", method="OutputStreaming"}'))
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as reply:
            line = re.search(r'brickd_requests_total{brick="chat",type="LLM",method="OutputStreaming",'
                             r'code="OK",error=""} (\d+)', reply.read().decode())
        wait_for("the last scrape", lambda: total() == int(line[1]), 20)


main()
