# SPDX-License-Identifier: MIT
"""What the tests of the brick share: a server that misbehaves, and a program that runs calls against the brick."""

import json
import os
import subprocess
import sys
import time
import unittest

from fault_server import FaultServer

DRIVE = None
SANITIZED = False
FINAL = ["", True]
AT_ONCE = 0.9  # seconds on a loaded machine: any wait that could come before is a second or more
ENVIRONMENT = ["OPENAI_API_KEY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"]


def options_text(value):
    """A YAML flow map, as the driver reads it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name}: {options_text(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(options_text, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):  # a bare scalar: ("100ms",)
        return value[0]
    return f'"{value}"' if isinstance(value, str) else str(value)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.server = FaultServer()
        self.addCleanup(self.server.close)

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items() if k.lower() not in map(str.lower, ENVIRONMENT)}
        return {**env, **more}

    def start(self, *calls, options=None, env=None):
        all_options = {
            "base_url": self.server.url,
            "model": "default",
            "retry_min": ("10ms",),
            "retry_max": ("20ms",),
            **(options or {}),
        }
        all_options = {k: v for k, v in all_options.items() if v is not None}
        process = subprocess.Popen(
            [DRIVE, options_text(all_options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**(env or {})),
        )
        try:
            process.stdin.write("".join(json.dumps(call) + "\n" for call in calls))
            process.stdin.close()
        except BrokenPipeError:
            pass  # it refuses its options
        process.stdin = None
        return process

    def finish(self, process, status=0):
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, err)
        self.said = err
        return [json.loads(line) for line in out.splitlines()]

    def run_calls(self, *calls, **how):
        return self.finish(self.start(*calls, **how))

    def run_call(self, scenario, method="stream", options=None, env=None, **call):
        """One call, answered by the scenario."""
        self.server.scenarios[call.setdefault("model", "m")] = scenario
        return self.run_calls({"method": method, **call}, options=options, env=env)[0]

    def assert_ok(self, result, *texts):
        self.assertEqual((result["code"], result["status"]), (200, 0), result)
        self.assertEqual(result["replies"], [[text, False] for text in texts] + [FINAL])

    def assert_failed(self, result, code, message, *texts, detail=None):
        self.assertEqual((result["code"], result["status"]), (code, 0), result)
        self.assertIn(message, result["message"])
        self.assertEqual(result["replies"], [[text, False] for text in texts])
        if detail is not None:
            self.assertEqual(result["detail"], detail)

    def wait_until(self, condition, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)


async def hello(request):
    await request.head()
    await request.say("Hello")
    await request.say(" world")
    await request.done()


async def stall(request):
    await request.wait_closed()
    return False


def main():
    """Runs the tests of the calling program: TEST DRIVE [--sanitized]"""
    global DRIVE, SANITIZED
    DRIVE = sys.argv.pop(1)
    if sys.argv[1:2] == ["--sanitized"]:
        SANITIZED = True
        sys.argv.pop(1)
    unittest.main()
