"""Judges the built gateway by official SDKs: each client asks it for a model of a provider of every other dialect, which answers with a
recorded reply, and must see what its own dialect's client sees of that reply directly.

usage: gateway_judge.py SLUICE [--only TEXT] [--show N] [--jobs N] [--every N]

SLUICE is the built program. `judge.py` judges more of each translation; here all of Sluice is on the way.
"""

import argparse
import collections
import concurrent.futures
import multiprocessing
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

from judging import comparing, recordings
from judging.reading import DIALECTS, Readers
from judging.server import Server

TESTS = pathlib.Path(__file__).resolve().parents[1]


def provider(dialect):
    return f"{dialect}-provider"


class Gateway:
    """The built program before one server, which is a provider of each dialect."""

    def __init__(self, program, server):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        rows = [f'  {provider(dialect)}: {{ dialect: {dialect}, base_url: "{server.url}/v1", keys: [] }}\n' for dialect in DIALECTS]
        (folder / "plugins").mkdir()
        (folder / "sluice.yaml").write_text("providers:\n" + "".join(rows))
        arguments = ["serve", "--listen", "127.0.0.1:0", "--plugins", folder / "plugins", "--config", folder / "sluice.yaml"]
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={}, text=True, cwd=folder)
        self.url = None
        said = []
        for line in self.process.stdout:
            said.append(line)
            found = re.search(r"listening on (http://[0-9.:]+)", line)
            if found:
                self.url = found[1]
                break
        if self.url is None:
            raise RuntimeError("the gateway does not start:\n" + "".join(said))
        # What it says later must go somewhere, or it would wait for a reader.
        subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def part(options, number):
    warnings.simplefilter("ignore")
    server = Server()
    gateway = Gateway(options.sluice, server)
    try:
        return judge(options, number, Readers(server), Readers(server, gateway.url))
    finally:
        gateway.stop()


def judge(options, number, direct, through):
    counts, lines = collections.Counter(), []
    for at, case in enumerate(recordings.load(TESTS / "wire")):
        if at // options.every % options.jobs != number or at % options.every or options.only not in case["name"]:
            continue
        want = direct.read_raw(case["dialect"], recordings.readable(case), case["stream"])
        if "raised" in want:
            continue
        for to in DIALECTS:
            if to == case["dialect"] or (to == "gemini" and case["name"] in recordings.CUT_MEDIA):
                continue
            got = through.read(to, case["reply"], case["stream"], f"{provider(case['dialect'])}/m")
            verdict = comparing.compare(want, got, to)
            pair = f"{case['dialect']}:{to}"
            counts[pair, bool(verdict.wrong)] += 1
            for feature, why in verdict.wrong:
                counts[pair, feature] += 1
                if counts[pair, feature] <= options.show:
                    lines.append(f"{pair} {feature}: {case['name']}\n      {why}")
    return counts, lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sluice")
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    counts = collections.Counter()
    with concurrent.futures.ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for some, lines in pool.map(part, [options] * options.jobs, range(options.jobs)):
            counts.update(some)
            print("\n".join(lines))
    for pair in sorted({pair for pair, _ in counts}):
        print(f"{pair}: {counts[pair, False]} equal, {counts[pair, True]} differ")
    sys.exit(1 if any(counts[pair, True] for pair, _ in list(counts)) else 0)


if __name__ == "__main__":
    main()
