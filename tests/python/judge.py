"""Judges translations by official SDKs.

Every recorded reply, read directly by its own dialect's client, against what a client of each other dialect reads of the translation; and
every recorded request against what a provider of each other dialect would be asked, by that dialect's own types. What is neither equal
nor a listed loss (tests/cross/losses.json) fails.

usage: judge.py TRANSLATE DOCUMENT [--write] [--only TEXT] [--pair FROM:TO] [--show N] [--jobs N]

TRANSLATE is the program that translates (`translate` of the tests). The figures are compared with DOCUMENT, or written into it.
"""

import argparse
import collections
import concurrent.futures
import json
import multiprocessing
import pathlib
import subprocess
import sys
import warnings

from judging import comparing, recordings, request_comparing, table
from judging.reading import DIALECTS, Readers
from judging.server import Server
from judging.wellformed import Form

TESTS = pathlib.Path(__file__).resolve().parents[1]


class Translate:
    """The translating program, asked line by line."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __call__(self, op, case, to, **more):
        job = {"op": op, "from": case["dialect"], "to": to, **more}
        job |= {name: case[name] for name in ("path", "stream", "request")}
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Tally:
    """Counts by part (`replies`, `requests`), pair, feature and rule; and what fails, a few of each kind."""

    def __init__(self, show):
        self.show = show
        self.equal, self.lost, self.wrong = collections.Counter(), collections.Counter(), collections.Counter()
        self.cases, self.unreadable, self.lines = collections.Counter(), [], []

    def add(self, part, pair, name, verdict):
        self.cases[part, pair] += 1
        for feature in verdict.equal:
            self.equal[part, pair, feature] += 1
        for feature, rule in verdict.lost:
            self.lost[part, pair, feature, rule] += 1
        for feature, why in verdict.wrong:
            self.wrong[part, pair, feature] += 1
            if self.wrong[part, pair, feature] <= self.show:
                self.lines.append(f"{part} {pair} {feature}: {name}\n      {why}")

    def merge(self, other):
        for name in ("equal", "lost", "wrong", "cases"):
            getattr(self, name).update(getattr(other, name))
        self.unreadable += other.unreadable
        self.lines += other.lines


class Judge:
    def __init__(self, options):
        self.translate, self.readers, self.form = Translate(options.translate), Readers(Server()), Form()
        self.types = request_comparing.Types()
        self.options, self.tally = options, Tally(options.show)

    def case(self, case):
        pairs = [(f"{case['dialect']}:{to}", to) for to in DIALECTS if to != case["dialect"]]
        pairs = [(pair, to) for pair, to in pairs if self.options.pair in ("", pair)]
        if not pairs:
            return
        # What a provider refused may be no request at all.
        if case["request"] is not None and case["reply"]["status"] == 200:
            for pair, to in pairs:
                answer = self.translate("request", case, to)
                self.tally.add("requests", pair, case["name"], request_comparing.compare(case, answer, to, self.types))
        want = self.readers.read_raw(case["dialect"], recordings.readable(case), case["stream"])
        if "raised" in want:
            self.tally.unreadable.append(f"{case['name']}: {want['raised']}")
            return
        for pair, to in pairs:
            if to != "gemini" or case["name"] not in recordings.CUT_MEDIA:
                self.tally.add("replies", pair, case["name"], self.reply(case, to, want))

    def reply(self, case, to, want):
        reply = self.translate("reply", case, to, **case["reply"])
        if "panic" in reply:
            verdict = comparing.Verdict()
            verdict.wrong.append(("valid", f"panic: {reply['panic']}"))
            return verdict
        verdict = comparing.compare(want, self.readers.read(to, reply, case["stream"] and reply["status"] == 200), to)
        verdict.check("valid", None, self.form.complaint(to, reply))
        return verdict


def part(options, number):
    warnings.simplefilter("ignore")
    judge = Judge(options)
    for at, case in enumerate(recordings.load(TESTS / "wire")):
        if at % options.jobs == number and options.only in case["name"]:
            judge.case(case)
    return judge.tally


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("translate")
    parser.add_argument("document", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--pair", default="")
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    tally = Tally(options.show)
    with concurrent.futures.ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for other in pool.map(part, [options] * options.jobs, range(options.jobs)):
            tally.merge(other)
    losses = json.loads((TESTS / "cross/losses.json").read_text())
    print("\n".join(tally.lines))
    text = table.document(tally, losses)
    complaints = table.complaints(tally, losses)
    if options.only or options.pair:
        print(text)
    elif options.write:
        options.document.write_text(text)
    elif not options.document.exists() or options.document.read_text() != text:
        complaints.append(f"{options.document} is not what was found; SLUICE_BLESS=1 writes it anew")
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
