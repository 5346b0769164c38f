# SPDX-License-Identifier: MIT
"""Chapters of the README that need PyPI, as they stand there: "Bricks in Python", and the program of "From OpenAI's clients"."""
import os
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import grpc  # noqa: E402

import pypi  # noqa: E402
from harness import (  # noqa: E402
    BUILD, START_LIMIT, Brickd, call, eq, generate_stubs, main, path, temp_dir, test)
from pki import Authority  # noqa: E402
from readme import Application, blocks, session  # noqa: E402

venv = pypi.get(BUILD)
generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

authority = Authority(os.path.join(temp_dir(), "ca"))
authority.issue("server")

(_, configuration), (_, commands) = blocks("Bricks in Python")


class FromReadme(Brickd):
    def write(self, text):
        for place, ours in {
                "0.0.0.0:50051": self.address,
                "/etc/brickd/cert.pem": authority.path("server.pem"),
                "/etc/brickd/key.pem": authority.path("server.key"),
                "/srv/llm_brick_define/": venv.example("LLM"),
                "/srv/venv/bin/python": venv.python}.items():
            eq(text.count(place), 1, place)
            text = text.replace(place, ours)
        with open(self.config, "w") as f:
            f.write(f"{text}modules: {self.modules}\ncontrol: {self.dir}/control\n")


@test
def ten_lines_serve_it():
    eq(len(configuration.splitlines()), 10)
    running = FromReadme(configuration, modules=os.path.join(BUILD, "src", "bricks"), start_limit=5 * START_LIMIT,
                         env={"BRICKD_DATA": os.path.join(BUILD, "src", "bricks")})
    with running:
        for command, output in session(commands):
            done = running.ctl(*shlex.split(command)[1:], check=False)
            eq(done.stdout + done.stderr, output, command)
        with open(authority.path("ca.pem"), "rb") as f:
            secure = grpc.secure_channel(running.address, grpc.ssl_channel_credentials(f.read()))
        request = llm_pb2.LLMRequest(prompt="Hello").SerializeToString()
        eq(llm_pb2.LLMResponse.FromString(call(secure, path("LLM", "Unary"), request)[0]).text, "Echo: Hello")
        eq(call(running.channel(), path("LLM", "Unary"), request)[1], "UNAVAILABLE", "without TLS")


@test
def the_program_for_openai():
    _, (language, program) = blocks("From OpenAI's clients")
    eq(language, "python")
    with Application() as running:
        done = subprocess.run([venv.python, "-c", running.here(program, "127.0.0.1:8080", running.door)], timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        eq((done.returncode, "Hello" in done.stdout), (0, True), done.stdout)


main()
