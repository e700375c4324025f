"""What a client of another dialect saw against what was read directly, feature by feature.

Where a dialect has no place for something, a named rule says what must stand there instead, and the use of the rule is told: every rule
that is used must be in the table of losses.
"""

import json
import re

from . import forms

FEATURES = ("text", "calls", "finish", "refusal", "reasoning", "usage", "state", "error", "valid")

SINGLE = ("anthropic", "openai-responses")


class Verdict:
    """Of one case and one pair: `equal`, `lost` (feature, rule) and `wrong` (feature, why)."""

    def __init__(self):
        self.equal, self.lost, self.wrong = [], [], []

    def check(self, feature, want, got):
        if want == got:
            self.equal.append(feature)
        else:
            self.wrong.append((feature, f"want {short(want)}\n      got  {short(got)}"))

    def lose(self, feature, rule):
        self.lost.append((feature, rule))


def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 500 else f"{text[:300]} … {text[-150:]}"


def compare(want, got, to):
    """`want`: read directly. `got`: through the translation to the dialect `to`."""
    verdict = Verdict()
    if "raised" in got:
        verdict.wrong.append(("valid", got["raised"]))
        return verdict
    cut = any(choice["finish"] == "cut" for choice in want.get("choices", []))
    if "error" in want or cut:
        compare_errors(verdict, want, got)
        return verdict
    if "error" in got:
        verdict.wrong.append(("error", f"read directly it is a reply: {short(got)}"))
        return verdict
    choices = want["choices"]
    if len(choices) > 1 and to in SINGLE:
        verdict.lose("text", "choices")
        choices = choices[:1]
    if len(choices) != len(got["choices"]):
        verdict.wrong.append(("text", f"{len(choices)} choices became {len(got['choices'])}"))
        return verdict
    for one, other in zip(choices, got["choices"]):
        compare_choices(verdict, one, other, to)
    compare_usage(verdict, want["usage"], got["usage"], to)
    return verdict


def compare_errors(verdict, want, got):
    """An error is one for everybody, with the provider's status and words; a stream that broke off is one too."""
    if "error" not in got:
        verdict.wrong.append(("error", f"no error: {short(got)}"))
        return
    told, said = want.get("error"), got["error"]
    if told and told["status"] and told["status"] != said["status"]:
        verdict.wrong.append(("error", f"status {told['status']} became {said['status']}"))
    elif told and not same_words(told["message"], said["message"]):
        verdict.wrong.append(("error", f"want {short(told)}\n      got  {short(said)}"))
    else:
        verdict.equal.append("error")


def same_words(told, said):
    """The provider's sentence is in what was said. Where its own client finds none, any sentence will do."""
    return bool(said and said.strip()) and words(told or "") in words(said)


def words(text):
    """Without white space, what looks like a key, and the rest of what is too long for an error."""
    return " ".join(re.sub(r"sk-[\w*-]+|\[redacted\]", "", text).split())[:1500]


def compare_choices(verdict, want, got, to):
    refused = want["finish"] == "refused" or want["refusal"]
    if refused:
        # A refusal's words stand in its field where the dialect has one, else as text.
        verdict.check("refusal", want["text"] + want["refusal"], got["text"] + got["refusal"])
    elif want["text"] or got["text"] or got["refusal"]:
        text = got["text"] if same_json(want["text"], got["text"]) is False else want["text"]
        verdict.check("text", want["text"], text + got["refusal"])
    if want["calls"] or got["calls"]:
        verdict.check("calls", want["calls"], want["calls"] if same_calls(want["calls"], got["calls"]) else got["calls"])
    if want["reasoning"] or got["reasoning"]:
        verdict.check("reasoning", want["reasoning"], got["reasoning"])
    if want["state"] or got["state"]:
        trailing = to == "anthropic" and want["text"] and want["state"][: len(got["state"])] == got["state"]
        if trailing and len(got["state"]) < len(want["state"]):
            verdict.lose("state", "last-text")
        else:
            verdict.check("state", want["state"], got["state"])
    compare_finish(verdict, want, got, to)


def same_calls(want, got):
    def same(one, other):
        return one[0] == other[0] and any(reading in forms.readings(other[1]) for reading in forms.readings(one[1]))

    return len(want) == len(got) and all(map(same, want, got))


def same_json(one, other):
    """Whether two texts are the same JSON object; `None` where they are the same text anyway."""
    if one == other:
        return None
    try:
        one, other = json.loads(one), json.loads(other)
    except ValueError:
        return False
    return isinstance(one, dict) and one == other


def compare_finish(verdict, want, got, to):
    """A reason that only its own dialect has becomes what it comes to for the client."""
    if want["finish"] in KNOWN:
        verdict.check("finish", want["finish"], got["finish"])
    elif want["finish"] != got["finish"] and got["finish"] not in KNOWN:
        verdict.wrong.append(("finish", f"{want['finish']} became {got['finish']}"))
    else:
        verdict.lose("finish", want["finish"])


KNOWN = ("stop", "length", "calls", "refused")


def compare_usage(verdict, want, got, to):
    if not any((want or {}).values()) and not any((got or {}).values()):
        return
    want = dict(want or {})
    if to == "gemini" and want.get("cache_write"):
        want["input"] += want.pop("cache_write")
        want["cache_write"] = 0
        verdict.lose("usage", "cache-write")
    verdict.check("usage", want, got)
