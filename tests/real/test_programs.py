# SPDX-License-Identifier: MIT
"""Bricks of other languages behind brickd: JavaScript with grpc-js of npm, and Go with grpc-go of the module proxy."""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

from harness import (  # noqa: E402
    BUILD, SOURCE, START_LIMIT, Brickd, Skip, call, eq, generate_stubs, main, path, stream, test)

generate_stubs()
from protocols.grpc.llm import llm_pb2  # noqa: E402

DOWNLOAD_LIMIT = 60
BUILD_LIMIT = 400  # to compile grpc-go on a busy machine
# What npm and go say when their registry does not answer.
NO_NETWORK = r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|no such host|dial tcp|i/o timeout"


def copy(language):
    """A folder of the build directory with the program, where what is downloaded and built stays."""
    folder = os.path.join(BUILD, "tests", "real", language)
    shutil.copytree(os.path.join(HERE, "programs", language), folder, dirs_exist_ok=True)
    return folder


def run(command, folder, limit, env):
    return subprocess.run(command, cwd=folder, env=os.environ | env, timeout=limit, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def download(folder, *command, env={}):
    silent = Skip(f"the registry of {command[0]} does not answer")
    if not shutil.which(command[0]):
        raise Skip(f"there is no {command[0]}")
    try:
        done = run(command, folder, DOWNLOAD_LIMIT, env)
    except subprocess.TimeoutExpired:
        raise silent from None
    if done.returncode and re.search(NO_NETWORK, done.stdout):
        raise silent
    eq(done.returncode, 0, done.stdout)


def node():
    folder = copy("node")
    download(folder, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock",
             "--prefer-offline", "--fetch-timeout=10000", "--fetch-retries=0")
    return [shutil.which("node"), os.path.join(folder, "brick.js"), os.path.join(SOURCE, "proto")]


def go():
    folder = copy("go")
    env = {"GOCACHE": f"{folder}/.cache", "GOMODCACHE": f"{folder}/.modules", "GOTOOLCHAIN": "local",
           "GOFLAGS": "-modcacherw"}
    download(folder, "go", "mod", "download", env=env)
    # not optimised, it compiles in half of the time
    done = run(["go", "build", "-gcflags=all=-N -l"], folder, BUILD_LIMIT, env)
    eq(done.returncode, 0, done.stdout)
    return [os.path.join(folder, "brick")]


def check(language, command):
    text = (f"  - {{ name: chat, module: process, options: {{ type: LLM, command: {command},"
            f" start_timeout: {5 * START_LIMIT}s }} }}\n")
    request = llm_pb2.LLMRequest(prompt="hello").SerializeToString()
    with Brickd(text, start_limit=5 * START_LIMIT) as running:
        channel = running.channel()
        reply = llm_pb2.LLMResponse.FromString(call(channel, path("LLM", "Unary"), request)[0])
        eq((reply.text, reply.error.code), (f"{language} hello", 200))
        fail = llm_pb2.LLMRequest(prompt="fail").SerializeToString()
        eq(call(channel, path("LLM", "Unary"), fail)[1:3], ("FAILED_PRECONDITION", "as told"))
        replies, status, _ = stream(channel, path("LLM", "OutputStreaming"), request)
        eq(status, "OK")
        eq([llm_pb2.LLMResponse.FromString(r).text for r in replies], [f"{language} {i}" for i in range(100)])
        running.says("serving in ")
        running.ctl("restart", "chat")
        eq(call(channel, path("LLM", "Unary"), request)[1], "OK")
        eq(running.stop()[0], 0)
        assert "was killed" not in running.log(), running.log()


@test
def javascript():
    check("node", node())


@test
def go_language():
    check("go", go())


main()
