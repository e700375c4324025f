#!/usr/bin/env python3
"""Makes the catalog of models: host/gateway/src/providers/catalog/models.tsv.

It reads two packages of the Python index, both under the MIT licence: `litellm` (its list of prices and context windows; never 1.82.7 or
1.82.8, which were tampered with) and `genai-prices`. Give it the two unpacked wheels, so that nothing of them is run:

    pip download --no-deps -d wheels litellm genai-prices && (cd wheels && for w in *.whl; do unzip -q "$w"; done)
    python3 tools/catalog.py wheels

`genai-prices` keeps its data as Python, which is read as a syntax tree here. The output is sorted, so a new version gives a readable diff.
"""

import ast
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "host/gateway/src/providers/catalog/models.tsv"

# What each package calls the built-in providers.
LITELLM = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "vertex_ai-language-models": "vertex",
    "vertex_ai-anthropic_models": "vertex",
    "vertex_ai-embedding-models": "vertex",
    "mistral": "mistral",
    "groq": "groq",
    "xai": "xai",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "perplexity": "perplexity",
    "cerebras": "cerebras",
    "nebius": "nebius",
    "zai": "zai",
    "moonshot": "moonshot",
    "dashscope": "alibaba",
    "hyperbolic": "hyperbolic",
    "novita": "novita",
    "sambanova": "sambanova",
}
GENAI = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "google": "gemini",
    "mistral": "mistral",
    "groq": "groq",
    "x-ai": "xai",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "together": "together",
    "fireworks": "fireworks",
    "perplexity": "perplexity",
    "cerebras": "cerebras",
    "zai": "zai",
    "moonshotai": "moonshot",
    "novita": "novita",
}
MODES = {"chat": "chat", "responses": "chat", "completion": "chat", "embedding": "embedding"}
# Providers whose models' reasoning and sampling flags in the data were found right; elsewhere a missing flag says nothing.
SURE = {"openai", "azure", "anthropic", "gemini", "vertex"}
BANNED = {"1.82.7", "1.82.8"}


def name_of(key, provider):
    """The provider's own name in a key of litellm's, or None for a key that is no name (a price by region or by size)."""
    name = key
    for prefix in (provider, "vertex_ai", "azure"):
        name = name.removeprefix(prefix + "/")
    if provider == "fireworks_ai" and not name.startswith("accounts/"):
        return None
    if provider in ("openai", "azure", "gemini") and "/" in name:
        return None
    if name.startswith("ft:") or " " in name or len(name) > 200:
        return None
    return name


def dollars(value, scale=1):
    """Dollars for a million tokens, as short as it can be said; empty for an unknown price."""
    if value is None or isinstance(value, (dict, list, str)):
        return ""
    amount = (Decimal(str(value)) * scale).quantize(Decimal("0.000000001"))
    if amount < 0:
        return ""
    text = format(amount.normalize(), "f")
    return text


def flags(row, model, fact):
    reasons = fact.get("supports_reasoning") is True
    out = ""
    for letter, name in (
        ("t", "supports_function_calling"),
        ("v", "supports_vision"),
        ("p", "supports_pdf_input"),
        ("a", "supports_audio_input"),
        ("s", "supports_response_schema"),
        ("c", "supports_prompt_caching"),
    ):
        if fact.get(name) is True:
            out += letter
    if reasons:
        out += "r"
    if row in SURE and not reasons and fact.get("mode") in ("chat", "responses"):
        out += "n"
    # OpenAI's reasoning models answer 400 to a temperature, except the ones that are tuned for conversation.
    openai = row in ("openai", "azure") and reasons and "chat" not in model
    if fact.get("supports_sampling_params") is False or openai:
        out += "x"
    if fact.get("supports_adaptive_thinking") is True and fact.get("supports_sampling_params") is False:
        out += "d"
    if row in ("gemini", "vertex") and re.match(r"gemini-([3-9]|\d\d)", model):
        out += "l"
    return out


def from_litellm(folder, models):
    for info in folder.glob("litellm-*.dist-info"):
        if info.name.split("-")[1].removesuffix(".dist") in BANNED or any(f"litellm-{bad}." in info.name for bad in BANNED):
            sys.exit(f"{info.name}: this version was tampered with")
    data = json.loads((folder / "litellm/model_prices_and_context_window_backup.json").read_text())
    for key, fact in data.items():
        provider = fact.get("litellm_provider")
        row, mode = LITELLM.get(provider), MODES.get(fact.get("mode"))
        name = name_of(key, provider) if row and mode else None
        if not name:
            continue
        window = fact.get("max_input_tokens") or fact.get("max_tokens")
        models.setdefault((row, name), {
            "mode": mode,
            "window": window if isinstance(window, int) else None,
            "output": fact.get("max_output_tokens") if isinstance(fact.get("max_output_tokens"), int) else None,
            "flags": flags(row, name, fact),
            "prices": [
                dollars(fact.get(field), 1_000_000)
                for field in (
                    "input_cost_per_token",
                    "cache_read_input_token_cost",
                    "cache_creation_input_token_cost",
                    "output_cost_per_token",
                )
            ],
        })


def value_of(node):
    """A literal, also of `Decimal('1.5')`; None for anything that is no plain number or text."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Decimal" and node.args:
        return Decimal(str(value_of(node.args[0])))
    return None


def from_genai(folder, models):
    tree = ast.parse((folder / "genai_prices/data.py").read_text())

    def fields(call):
        return {keyword.arg: keyword.value for keyword in call.keywords}

    def is_call(node, name):
        return isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name

    for provider in (node for node in ast.walk(tree) if is_call(node, "Provider")):
        told = fields(provider)
        row = GENAI.get(value_of(told.get("id")))
        for model in (node for node in ast.walk(told.get("models", provider)) if row and is_call(node, "ModelInfo")):
            about = fields(model)
            name, prices = value_of(about.get("id")), about.get("prices")
            if not name or not is_call(prices, "ModelPrice"):
                continue
            # Google's list holds what Vertex serves of others.
            place = "vertex" if row == "gemini" and not re.match(r"(gemini|gemma|text-embedding|embedding)", name) else row
            price = {key: value_of(node) for key, node in fields(prices).items()}
            told_prices = [
                dollars(price.get(field))
                for field in ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
            ]
            window = value_of(about.get("context_window"))
            known = models.setdefault((place, name), {
                "mode": "embedding" if "embed" in name else "chat",
                "window": None,
                "output": None,
                "flags": "l" if row == "gemini" and re.match(r"gemini-([3-9]|\d\d)", name) else "",
                "prices": ["", "", "", ""],
            })
            known["window"] = known["window"] or window
            known["prices"] = [own or other for own, other in zip(known["prices"], told_prices)]


def main():
    folder = Path(sys.argv[1])
    models = {}
    from_litellm(folder, models)
    from_genai(folder, models)
    lines = [
        "# Made by tools/catalog.py from the packages litellm and genai-prices (both MIT); not edited by hand. A price is dollars for a "
        "million tokens, an empty field is unknown.",
        "# provider\tmodel\tmode\twindow\toutput\tflags\tinput\tcache read\tcache write\toutput",
    ]
    for (row, name), model in sorted(models.items()):
        number = lambda value: "" if value is None else str(value)
        cells = [row, name, model["mode"], number(model["window"]), number(model["output"]), model["flags"], *model["prices"]]
        lines.append("\t".join(cells))
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{OUT}: {len(models)} models")


main()
