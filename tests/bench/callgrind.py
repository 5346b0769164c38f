# SPDX-License-Identifier: MIT
"""Reads what callgrind counted: instructions by object and function, and who called whom how often."""
import collections
import os
import re

_NAME = re.compile(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?")


class Counts:
    """self_cost: {(object, function): instructions}, the callees' not included.
    calls: {((object, function) of the caller, (object, function) called): how often}."""

    def __init__(self):
        self.self_cost = collections.Counter()
        self.calls = collections.Counter()

    def total(self, objects=None):
        """Instructions of all objects, or of those with these names."""
        return sum(n for (obj, _), n in self.self_cost.items() if objects is None or obj in objects)

    def less(self, other):
        """What was counted here and not there: costs that both have, such as a connection's, cancel out."""
        result = Counts()
        for mine, its, difference in ((self.self_cost, other.self_cost, result.self_cost),
                                      (self.calls, other.calls, result.calls)):
            difference.update(mine)
            difference.subtract(its)
        return result


def read(path):
    """One dump. Objects go by the last part of their path."""
    counts = Counts()
    names = {"ob": {}, "fn": {}}
    obj = fn = called_obj = called_fn = None
    inclusive = False  # the next cost line is a callee's
    with open(path, errors="replace") as lines:
        for line in lines:
            match = _NAME.match(line)
            if match:
                of_callee, kind, number, name = match.groups()
                if name is not None:
                    names[kind][number] = os.path.basename(name) if kind == "ob" else name
                name = names[kind][number]
                if of_callee:
                    called_obj, called_fn = (name, called_fn) if kind == "ob" else (called_obj, name)
                else:
                    obj, fn = (name, fn) if kind == "ob" else (obj, name)
            elif line.startswith("calls="):
                counts.calls[(obj, fn), (called_obj or obj, called_fn)] += int(line[6:].split()[0])
                called_obj = None
                inclusive = True
            elif line[:1] in "+-*0123456789" and fn is not None:
                if not inclusive:
                    counts.self_cost[obj, fn] += int(line.split()[1])
                inclusive = False
    return counts
