"""The figures as a document, and what is wrong with them."""

from . import comparing, request_comparing
from .reading import DIALECTS

NAMES = {"openai-chat": "OpenAI chat", "openai-responses": "OpenAI Responses", "anthropic": "Anthropic", "gemini": "Gemini"}

HEAD = """# Translation between the dialects

What stays equal when a client of one dialect talks to a provider of another. These figures are made by a test and not by hand: official
SDKs (Python: `openai`, `anthropic`, `google-genai`) read every recorded reply directly and through the translation, and what they see is
compared; recorded requests are compared in what they ask, and validated by the target's own types. The recordings are in `tests/wire`,
the judge is `tests/python/judge.py`.

In each field: how many times the feature was there and came out equal; `+ n` times it was lost in a way that the lists below name.
"""

REPLIES = """
## Replies

From the provider's dialect to the client's. Calls are names, parsed arguments and their order; state is opaque reasoning state, which must
come back byte for byte; valid means that the reply keeps the dialect's schemas and the order of its events to the letter, which SDKs do
not check.
"""

REQUESTS = """
## Requests

From the client's dialect to the provider's. Turns are texts, media by hash, calls with arguments and results, each with the call it
answers.
"""

LOSSES = """
## What is lost

Each loss with the reason for it. Of a call, Sluice names what was lost in `x-sluice-lost` and in the log. Not counted here, and named
there where the other dialect has no place for them: citations of other things than addresses, log probabilities, pictures and sounds that
a model made, and tools that a provider runs itself. None of these ever shows as a call for the client to run.

| part | from | to | what | times | why |
| --- | --- | --- | --- | --- | --- |
"""


def document(tally, losses):
    out = [HEAD]
    for part, head, features in (("replies", REPLIES, comparing.FEATURES), ("requests", REQUESTS, request_comparing.FEATURES)):
        out += [head, "\n", row(["from", "to", "cases", *features]), row(["---"] * (3 + len(features)))]
        for pair in pairs():
            if tally.cases[part, pair]:
                fields = [field(tally, part, pair, feature) for feature in features]
                out.append(row([*map(NAMES.get, pair.split(":")), str(tally.cases[part, pair]), *fields]))
    out.append(LOSSES)
    reasons = {key(loss): loss["reason"] for loss in losses}
    for (part, pair, feature, rule), times in sorted(tally.lost.items()):
        source, target = map(NAMES.get, pair.split(":"))
        out.append(row([part, source, target, f"{feature}: {rule}", str(times), reason(reasons, part, pair, rule) or "(not listed)"]))
    if tally.unreadable:
        out.append("\nNot judged, since the dialect's own client cannot read them: " + "; ".join(sorted(tally.unreadable)) + "\n")
    return "".join(out)


def row(fields):
    return "| " + " | ".join(fields) + " |\n"


def pairs():
    return [f"{source}:{target}" for source in DIALECTS for target in DIALECTS if source != target]


def field(tally, part, pair, feature):
    equal, wrong = tally.equal[part, pair, feature], tally.wrong[part, pair, feature]
    lost = sum(times for (one, two, three, _), times in tally.lost.items() if (one, two, three) == (part, pair, feature))
    if not equal and not wrong and not lost:
        return ""
    return str(equal) + (f" + {lost}" if lost else "") + (f", {wrong} WRONG" if wrong else "")


def key(loss):
    return loss["part"], loss["from"], loss["to"], loss["rule"]


def matching(reasons, part, pair, rule):
    source, target = pair.split(":")
    keys = [(part, one, two, rule) for one in (source, "*") for two in (target, "*")]
    return [each for each in keys if each in reasons]


def reason(reasons, part, pair, rule):
    return next((reasons[each] for each in matching(reasons, part, pair, rule)), None)


def complaints(tally, losses):
    """Differences, rules that were used and are not listed, and listed ones that nothing needs."""
    found = [f"{part} {pair}: {times} times {feature} differs" for (part, pair, feature), times in sorted(tally.wrong.items())]
    reasons = {key(loss): loss["reason"] for loss in losses}
    used = set()
    for part, pair, feature, rule in sorted(tally.lost):
        listed = matching(reasons, part, pair, rule)
        used.update(listed[:1])
        if not listed:
            found.append(f"{part} {pair}: the loss {feature}: {rule} is not in the list")
    found += [f"the loss {one} is listed and never happens" for one in sorted(set(reasons) - used)]
    return found
