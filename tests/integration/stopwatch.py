# SPDX-License-Identifier: MIT
"""Measures how long something took, for bounds that hold on a machine that stalls as well."""
import collections
import threading
import time

TICK = 0.01
LATE = 0.1

# running: without the time in which this machine let nobody run, as a virtual one may for seconds. For upper bounds.
Elapsed = collections.namedtuple("Elapsed", "seconds running")


class Stalls(threading.Thread):
    """Sums up how late a thread was that only sleeps."""

    def __init__(self):
        super().__init__(daemon=True)
        self.state = 0.0, time.monotonic()

    @staticmethod
    def add(state, now):
        total, last = state
        return total + (now - last - TICK if now - last > LATE else 0), now

    def run(self):
        while True:
            time.sleep(TICK)
            self.state = self.add(self.state, time.monotonic())

    def total(self, now):
        """Seconds until now, with a stall that the thread has not come to see yet."""
        return self.add(self.state, now)[0]


stalls = Stalls()
stalls.start()


class Stopwatch:
    def __init__(self):
        self.start = time.monotonic()
        self.stalled = stalls.total(self.start)

    def elapsed(self):
        now = time.monotonic()
        seconds = now - self.start
        return Elapsed(seconds, seconds - (stalls.total(now) - self.stalled))
