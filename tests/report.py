#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sums up the test logs of build directories: what failed and why, what was slow, how many."""

import json
import pathlib
import sys

SLOWEST = 3
LOG_LINES = 60

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def read_log(build):
    """The tests of one build; a build that did not come to its tests is one failed test."""
    path = pathlib.Path(build, "meson-logs", "testlog.json")
    if not path.exists():
        return [{"name": "build", "result": "FAIL", "duration": 0, "build": build}]
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) | {"build": build} for line in lines]


def suite_of(test):
    """Of a name like "brickd:unit / log"."""
    return test["name"].partition(" / ")[0].rpartition(":")[2]


def print_failure(test):
    print(f"\n== FAILED: {test['build']}: {test['name']} ({test['result']}) ==")
    for stream in ("stdout", "stderr"):
        lines = test.get(stream, "").splitlines()
        print("\n".join([line for line in lines if not line.startswith("ok ")][-LOG_LINES:]))


def print_slowest(tests):
    groups = {}
    for test in tests:
        groups.setdefault((test["build"], suite_of(test)), []).append(test)
    for (build, suite), group in groups.items():
        group.sort(key=lambda test: -test["duration"])
        names = ", ".join(
            f"{test['name'].rpartition(' / ')[2]} {test['duration']:.1f} s"
            for test in group[:SLOWEST]
        )
        print(f"slowest: {build} {suite}: {names}")


def main(builds):
    tests = [test for build in builds for test in read_log(build)]
    passed = sum(test["result"] in PASSED for test in tests)
    skipped = [test for test in tests if test["result"] in SKIPPED]
    failed = [test for test in tests if test["result"] not in PASSED | SKIPPED]

    for test in failed:
        print_failure(test)
    print()
    print_slowest(tests)
    for test in skipped:
        reason = (test.get("stdout", "") + test.get("stderr", "")).strip().splitlines()
        print(f"skipped: {test['build']} {test['name']}: {reason[-1] if reason else 'no reason'}")
    print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" * bool(skipped)))
    return 0 if passed and not failed else 1


sys.exit(main(sys.argv[1:]))
