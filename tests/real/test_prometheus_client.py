# SPDX-License-Identifier: MIT
"""What Prometheus' client library for Python, from PyPI, reads from /metrics."""
import json
import os
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import registry  # noqa: E402
from harness import BUILD, Brickd, call, eq, free_port, generate_stubs, main, path, stream, test, wait_for  # noqa: E402

python = registry.pip(["prometheus-client==0.26.0"], os.path.join(BUILD, "tests", "real", "prometheus-venv"))
generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

PROGRAM = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.read()))
json.dump([[f.name, f.type, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]] for f in families], sys.stdout)
"""
MODEL = 'a"model"\\of{braces},\\n=1'
USAGE = [("x-usage-prompt-tokens", "20"), ("x-usage-completion-tokens", "5"), ("x-model", MODEL)]
ENDINGS = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


def read(page):
    """(name, type, help, samples) of each family."""
    return json.loads(subprocess.run([python, "-c", PROGRAM], input=page, text=True, timeout=60, check=True,
                                     stdout=subprocess.PIPE).stdout)


def calls(channel):
    for case in "ok", "fail-code":
        call(channel, path("LLM", "Unary"), llm_pb2.LLMRequest(prompt="case:" + case).SerializeToString())
    replies = stream(channel, path("LLM", "OutputStreaming"),
                     llm_pb2.LLMRequest(prompt="case:metadata").SerializeToString(), USAGE)
    eq(replies[1], "OK")


@test
def all_of_it_is_read():
    where = f"127.0.0.1:{free_port()}"
    with Brickd("  - { name: chat, module: contract, options: { type: LLM } }",
                extra=f"metrics: {{ listen: '{where}', genai: true }}") as running:
        calls(running.channel())

        def page_with_the_model():
            with urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as reply:
                page = reply.read().decode()
            return page if "gen_ai_response_model" in page else None

        page = wait_for("the model", page_with_the_model)
    families = read(page)
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    eq(sum(len(samples) for *_, samples in families), len(lines), "samples")
    eq(len({name for name, *_ in families}), len(families), "families, each once")
    for name, kind, about, samples in families:
        assert about and kind in ENDINGS, (name, kind, about)
        for sample, *_ in samples:
            assert sample in [name + ending for ending in ENDINGS[kind]], (name, kind, sample)
    models = {labels["gen_ai_response_model"] for *_, samples in families for _, labels, _ in samples
              if "gen_ai_response_model" in labels}
    eq(models, {MODEL}, "the model's name")


main()
