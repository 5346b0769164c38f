# SPDX-License-Identifier: MIT
"""What attacks on one worker share: a daemon with the default limits and another client for all of them, and bounds on what
each may cost."""
import os
import resource
import threading
import time

from harness import SANITIZED, Bystander, Stopwatch, eq, test, wait_for

SECONDS = float(os.environ.get("ATTACK_SECONDS", "0.7"))
CONNECTIONS = int(os.environ.get("ATTACK_CONNECTIONS", "1500"))
WORST = float(os.environ.get("ATTACK_WORST", "1.5"))  # of the other client's calls, on a busy machine
RECOVERY = 2
MIB = 1 << 20


def memory(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key + ":"))


class Stage:
    """One daemon and one bystander for all attacks: what one leaves behind, the next one finds. A test's own class has PATH,
    which the bystander calls, start(), which returns a running daemon, and is_answered(), a new client's call."""

    def __init__(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        self.daemon = self.start()
        self.bystander = Bystander(self.daemon, self.PATH)
        self.worker, = self.daemon.workers()
        self.first = memory(self.worker, "VmRSS")
        self.rows = []

    def endure(self, name, growth, function):
        with open(f"/proc/{self.worker}/clear_refs", "w") as f:
            f.write("5")  # the peak begins anew
        before = memory(self.worker, "VmRSS")
        self.bystander.seen()
        result = function(self)
        peak, seen, watch = memory(self.worker, "VmHWM"), self.bystander.seen(), Stopwatch()
        answered = self.is_answered()
        recovery = watch.elapsed().running
        self.rows.append((name, peak, recovery, seen))
        print(f"# peak {peak / MIB:.0f} MiB (+{(peak - before) / MIB:.0f}), a new client's call after {recovery * 1000:.0f} ms; "
              f"the other client: {seen['calls']} calls, {len(seen['failures'])} failed, worst {seen['worst'] * 1000:.0f} ms"
              + (f"; {result}" if result else ""))
        assert answered, "a new client is not answered afterwards"
        eq(self.daemon.workers(), [self.worker], "the worker lives")
        eq(seen["failures"], [], "what the other client saw")
        if SANITIZED:
            return
        assert recovery < RECOVERY, recovery
        assert seen["worst"] < WORST, seen
        assert peak - before < growth, f"grew by {(peak - before) / MIB:.0f} MiB"

    def end(self):
        wait_for("the connections to go", lambda: len(os.listdir(f"/proc/{self.worker}/fd")) < 60, 10)
        eq(self.bystander.seen()["failures"], [])
        left = memory(self.worker, "VmRSS") - self.first
        print("#\n# | attack | peak memory | new client answered after | other client: calls, failed, worst |\n# |---|---|---|---|")
        for name, peak, recovery, seen in self.rows:
            print(f"# | {name} | {peak / MIB:.0f} MiB | {recovery * 1000:.0f} ms | {seen['calls']}, {len(seen['failures'])}, "
                  f"{seen['worst'] * 1000:.0f} ms |")
        print(f"#\n# worker at first {self.first / MIB:.0f} MiB, in the end {(self.first + left) / MIB:.0f} MiB")
        self.bystander.close()
        status, took = self.daemon.stop()
        eq(status, 0, "exit status")
        assert took.running < 8, took


def attacks_on(stage):
    """The decorator of attacks on what stage() gives. An attack may make the worker grow by so many bytes; it is given the
    stage, and returns what it has to say."""
    def attack(growth):
        def declare(function):
            def run():
                stage().endure(function.__name__.replace("_", " "), growth, function)
            run.__name__ = function.__name__
            return test(run)
        return declare
    return attack


def for_a_while(step, *args):
    """Calls step until it says False or time is up; how often."""
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end and step(*args) is not False:
        count += 1
    return count


def together(count, function):
    """The function on so many threads, with a number; what they return."""
    results = [None] * count

    def run(i):
        results[i] = function(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 + 2 * SECONDS)
        assert not thread.is_alive()
    return results
