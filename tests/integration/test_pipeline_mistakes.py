# SPDX-License-Identifier: MIT
"""What `brickd --check` says of a pipeline: every mistake has a place and says what to do."""
import os
import subprocess

from harness import BUILD, NO_LEAK_CHECK, main, temp_dir, test

BRICKS = """
  - { name: shield, module: echo, options: { type: Guard } }
  - { name: rules, module: guard-rules }
  - { name: spell, module: echo, options: { type: Rectify } }
  - { name: intent, module: echo, options: { type: Intention } }
  - { name: docs, module: echo, options: { type: Retrieval } }
  - { name: more-docs, module: echo, options: { type: Retrieval } }
  - { name: chat, module: echo, options: { type: LLM } }
  - { name: backup, module: echo, options: { type: LLM } }
  - { name: zh, module: echo, options: { type: Translate } }
  - { name: page, module: echo, options: { type: Compose } }
  - { name: common, module: echo, options: { type: Common } }
  - { name: bidi, module: MODULES/locks.so }
""".replace("MODULES", os.path.join(BUILD, "tests", "module"))

# (type, steps, what is said of the place that @ marks); a case without @ is right
CASES = [
    # the kinds of a step
    ("LLM", "[ @{ when: 'true' }, { brick: chat } ]",
     "a step needs one of `brick`, `parallel`, `steps` and `answer`"),
    ("LLM", "[ { brick: chat, parallel: @[ { brick: docs } ] } ]", "a step with `brick` cannot have this as well"),
    ("LLM", "[ { steps: [ { brick: chat } ], answer: @hi } ]", "a step with `steps` cannot have this as well"),
    ("LLM", "[ { parallel: @[] }, { brick: chat } ]", "needs at least one step"),
    ("LLM", "[ { parallel: [ { brick: docs } ], timeout: @3s }, { brick: chat } ]",
     "is for steps that ask a `brick`"),
    ("LLM", "[ { steps: [ { brick: chat } ], else: @[ { brick: backup } ] } ]", "needs `when`"),
    ("LLM", "[ { brick: chat, when: 'true', else: @[ { brick: backup } ] } ]", "is for steps with `steps`"),
    ("LLM", "[ { steps: [ { steps: [ { steps: [ { steps: [ { steps: [ { steps: [ { steps: [ { steps: "
            "@[ { brick: chat } ] } ] } ] } ] } ] } ] } ] } ] } ]", "steps are nested too deep: the limit is 8"),
    # bricks
    ("LLM", "[ { brick: [chat, @docs] } ]",
     "is a Retrieval brick, and the first of the list a LLM brick: one can only stand in for another of its type"),
    ("LLM", "[ { brick: @[] } ]", "name a brick"),
    ("Common", "[ { brick: @bidi } ]", "has no method Unary, by which a pipeline asks its bricks"),
    ("LLM", "[ { brick: chat, name: @1st } ]", "a name has letters, digits and _, and starts with no digit"),
    ("LLM", "[ { brick: chat, name: @text } ]", "every pipeline has a value of this name already"),
    ("LLM", "[ { brick: docs, name: a }, { brick: chat, name: @a } ]", "an earlier step has this name"),
    # what a type takes and makes
    ("LLM", "[ { brick: @page }, { brick: chat } ]",
     "a Compose step takes documents, which a pipeline of type LLM does not begin with and no earlier step has "
     "surely made; Retrieval makes it, or set input_documents"),
    ("LLM", "[ { brick: docs }, { brick: page }, { brick: chat } ]", None),
    ("LLM", "[ { brick: @common }, { brick: chat } ]",
     "a Common step takes data, which a pipeline of type LLM does not begin with and no earlier step has surely "
     "made; Compose or Common makes it, or set data"),
    ("Compose", "[ { brick: @shield }, { brick: page } ]",
     "a Guard step takes a text, which a pipeline of type Compose does not begin with and no earlier step has surely "
     "made; Rectify, Translate or LLM makes it, or set text"),
    ("Compose", "[ { brick: shield, set: { text: '{{ request.target_format }}' } }, { brick: page } ]", None),
    ("Compose", "[ { brick: chat, when: 'true', set: { prompt: hi } }, { brick: @shield }, { brick: page } ]",
     "a Guard step takes a text"),
    ("LLM", "@[ { brick: shield } ]",
     "a pipeline of type LLM replies with a text, and no step makes it; Rectify, Translate or LLM does"),
    ("LLM", "@[ { parallel: [ { brick: chat }, { brick: backup } ] } ]", "replies with a text, and no step makes it"),
    ("LLM", "[ { parallel: [ { brick: chat }, { brick: backup } ] }, { answer: '{{ chat.text }}{{ backup.text }}' } ]",
     None),
    ("LLM", "[ { answer: hi }, @{ brick: chat } ]", "never runs: the step before it always answers"),
    ("Retrieval", "@[ { brick: spell } ]", "a pipeline of type Retrieval replies with documents, and no step makes it"),
    ("Guard", "@[ { brick: spell } ]", "a pipeline of type Guard replies with a verdict, and no step makes it"),
    ("Guard", "[ { brick: shield }, { answer: @hi } ]", "a pipeline of type Guard does not reply with a text"),
    ("Intention", "[ { when: text == 'hi', answer: greeting }, { brick: intent } ]", None),
    # expressions
    ("LLM", "[ { brick: chat, when: @intnt.category == 'x' } ]", "intnt"),
    ("LLM", "[ { brick: intent }, { brick: chat, when: @intent.results } ]",
     "column 8 of the text: true or false is needed here, this is a list of IntentionResults"),
    ("LLM", "[ { brick: intent }, { brick: chat, when: @intent.confidenze > 1 } ]", "did you mean 'confidence'?"),
    ("LLM", "[ { brick: chat, when: @docs.documents == null }, { brick: docs } ]",
     "'docs' is not made by an earlier step, but by a later one"),
    ("LLM", "[ { brick: docs, when: 'true' }, { brick: chat, set: { prompt: @'{{ docs.documents }}' } } ]",
     "'docs' is made only under a `when`: use it in the `steps` of that `when`"),
    ("LLM", "[ { when: text == 'a', steps: [ { brick: docs }, { brick: chat, set: { prompt: "
            "'{% for d in docs.documents %}{{ d.title }}{% endfor %}' } } ], else: [ { brick: backup } ] } ]", None),
    ("LLM", "[ { when: text == 'a', steps: [ { brick: docs } ], else: [ { brick: chat, set: { prompt: "
            "@'{{ docs.documents }}' } } ] } ]", "'docs' is made only under a `when`"),
    ("LLM", "[ { parallel: [ { brick: docs }, { brick: intent, when: @docs.documents == null } ] }, { brick: chat } ]",
     "'docs' is made at the same time, in `parallel`: use it in a step behind that"),
    ("LLM", "[ { brick: docs }, { brick: docs, set: { query: @'{{ docs.documents }}' } }, { brick: chat } ]",
     "'docs' is the name of two steps: give one of them another `name`"),
    ("LLM", "[ { brick: more-docs }, { brick: chat, set: { prompt: '{% for d in more_docs.documents %}{{ d.title }}"
            "{% endfor %}' } } ]", None),
    # set
    ("LLM", "[ { brick: chat, set: { promt: @hi } } ]", "LLMRequest has no such field; it has model_id, prompt, context"),
    ("LLM", "[ { brick: docs, set: { max_results: @many } }, { brick: chat } ]", "many"),
    ("LLM", "[ { brick: docs, set: { max_results: @'{{ text }}' } }, { brick: chat } ]", "a number"),
    ("LLM", "[ { brick: docs, set: { max_results: @2.5 } }, { brick: chat } ]", "a whole number within the range of the field"),
    ("LLM", "[ { brick: chat, set: { max_tokens: @3000000000 } } ]", "a whole number within the range of the field"),
    ("LLM", "[ { brick: chat, set: { max_tokens: @'{{ 1 + 0.5 }}' } } ]", "a whole number within the range of the field"),
    ("LLM", "[ { brick: chat, set: { temperature: @1e300 } } ]", "this number is too large"),
    ("LLM", "[ { brick: docs, set: { max_results: 5 } }, { brick: chat, set: { temperature: 0.5 } } ]", None),
    ("LLM", "[ { brick: chat, set: { prompt: @[a] } } ]", "expected a text, got a list"),
    ("LLM", "[ { brick: chat, set: { context: [ { role: system, kontent: @x } ] } } ]", "Context has no such field"),
    ("LLM", "[ { brick: common, set: { data: { a: 1, b: '{{ text }}', c: @[1] } } }, { brick: chat } ]",
     "expected a text, a number, true or false"),
    # errors and answers
    ("LLM", "[ @{ brick: chat, on_error: answer } ]", "needs `answer`: the text to answer with"),
    ("LLM", "[ { brick: chat, answer: @sorry } ]",
     "a step that asks a brick answers only by `on_error: answer` or `on_hit: answer`"),
    # guards
    ("LLM", "[ { brick: chat, mode: @observe } ]", "is for steps that ask a Guard brick"),
    ("LLM", "[ { brick: chat, on: @documents } ]", "is for steps that ask a Guard brick"),
    ("LLM", "[ { brick: chat, mask: @pii-email } ]", "is for steps that ask a Guard brick"),
    ("LLM", "[ { brick: @shield, on: documents }, { brick: chat } ]", "takes documents"),
    ("LLM", "[ { brick: shield, on_hit: @drop }, { brick: chat } ]", "drop is for `on: documents`"),
    ("LLM", "[ { brick: shield, mask: @pii-email }, { brick: chat } ]",
     "this guard does not say where in a text it has found something"),
    ("LLM", "[ { brick: docs }, { brick: shield, on: documents, set: @{ text: x } }, { brick: chat } ]",
     "is not for `on: documents`"),
    ("LLM", "[ { brick: rules, mask: email, set: { text: @'a {{ text }}' } }, { brick: chat } ]",
     "what is masked is the pipeline's text: the guard has to judge that"),
    ("LLM", "[ { brick: rules, mask: @email, mode: observe }, { brick: chat } ]",
     "a guard that only observes changes nothing"),
    ("LLM", "[ { brick: chat, restore: @true } ]", "no earlier step masks anything"),
    ("LLM", "[ { brick: intent, restore: @true }, { brick: chat } ]", "is for steps that make a text"),
    ("LLM", "[ { brick: spell, guard: @{ brick: shield } }, { brick: chat } ]",
     "is for steps that make a text piece by piece: LLM and Translate"),
    ("LLM", "[ { brick: chat, guard: { brick: @docs } } ]", "is not the name of a Guard brick"),
    ("LLM", "[ { brick: chat, guard: { brick: shield, on_hit: @mask } } ]",
     "this guard does not say where in a text it has found something"),
    ("LLM", "[ { brick: chat, guard: { brick: shield, for: 300ms, on_limit: open } } ]", None),
]

# What the tables of options find, before a pipeline is made.
TABLES = [
    ("LLM", "[ { brick: @nobody } ]", 'no brick has the name "nobody"'),
    ("LLM", "[ { brick: docs, set: @5 }, { brick: chat } ]", "expected a map"),
    ("LLM", "[ { brick: chat, on_error: @ignore } ]", "expected fail, skip or answer"),
    ("LLM", "[ { brick: chat, guard: { brick: shield, hold: @1 } } ]", "hold: must be"),
]


def check(lines):
    """The exit status of --check, and its lines by their place: {(line, column): text}."""
    path = os.path.join(temp_dir(), "brickd.yaml")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    env = os.environ | NO_LEAK_CHECK | {
        "BRICKD_WORKER": os.path.join(BUILD, "src", "brickd-worker"),
        "BRICKD_DATA": os.path.join(BUILD, "src", "bricks")}
    run = subprocess.run([os.path.join(BUILD, "src", "brickd"), "-c", path, "--check"],
                         capture_output=True, text=True, timeout=60, env=env)
    said = {}
    for line in (run.stdout + run.stderr).splitlines():
        parts = line.split(":", 3)
        if parts[0] == path and len(parts) == 4 and parts[1].isdigit():
            said.setdefault((int(parts[1]), int(parts[2])), []).append(parts[3].strip())
    return run.returncode, said, run.stdout + run.stderr


def configuration(cases):
    """The lines of a file with a pipeline for each case, and the place that each blames."""
    head = ["modules: " + os.path.join(BUILD, "src", "bricks"), "ports: [ { listen: '127.0.0.1:1', bricks: [common] } ]",
            "bricks:"] + BRICKS.strip("\n").split("\n")
    places = []
    for number, (kind, steps, _) in enumerate(cases):
        line = f"  - {{ name: p{number}, module: pipeline, options: {{ type: {kind}, steps: {steps} }} }}"
        places.append((len(head) + 1, line.index("@") + 1) if "@" in line else (len(head) + 1, None))
        head.append(line.replace("@", "", 1))
    return head, places


def wrong_cases(cases):
    lines, places = configuration(cases)
    _, said, output = check(lines)
    wrong = []
    for (kind, steps, expected), place in zip(cases, places):
        here = [text for at, texts in said.items() if at[0] == place[0] for text in texts]
        at_place = said.get(place, here if place[1] is None else [])
        if expected is None and here:
            wrong.append(f"{kind} {steps}: {here}")
        elif expected is not None and not any(expected in text for text in at_place):
            wrong.append(f"{kind} {steps}: expected {expected!r} at {place}, got {here or output[-300:]}")
    return wrong


@test
def every_mistake_has_its_place():
    wrong = []
    for first in range(0, len(CASES), 15):  # a report has a limit
        wrong += wrong_cases(CASES[first:first + 15])
    assert not wrong, "\n".join(wrong)


@test
def so_has_every_mistake_of_an_option():
    wrong = wrong_cases(TABLES)
    assert not wrong, "\n".join(wrong)


main()
