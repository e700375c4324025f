"""One reply, read by the client of its dialect."""

import anthropic
import openai
from google.genai import errors

from . import openai_readers, other_readers

DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini")


class Readers:
    """The four clients before one server, or before a gateway to it at `url`, where models have their provider's name."""

    def __init__(self, server, url=None):
        self.server = server
        self.openai = openai_readers.client(url or server.url)
        self.anthropic = other_readers.anthropic_client(url or server.url)
        self.gemini = other_readers.gemini_client(url or server.url)

    def read(self, dialect, reply, stream, model="m"):
        """What the client of `dialect` says of a reply. A stream goes through the client's accumulator, where it has one."""
        if dialect == "openai-chat":
            return self.guard(reply, lambda: openai_readers.chat(self.openai, stream, model))
        if dialect == "openai-responses":
            return self.guard(reply, lambda: openai_readers.responses(self.openai, stream, model))
        if dialect == "anthropic":
            return self.guard(reply, lambda: other_readers.messages(self.anthropic, stream, model))
        return self.guard(reply, lambda: other_readers.generated(self.gemini, stream, model))

    def read_raw(self, dialect, reply, stream):
        """The same for what a provider sent: also from those whose ways OpenAI's own accumulators do not foresee."""
        if stream and dialect == "openai-chat":
            ended = b"[DONE]" in reply["body"].encode()
            return self.guard(reply, lambda: openai_readers.chat_folded(self.openai, ended))
        if stream and dialect == "openai-responses":
            return self.guard(reply, lambda: openai_readers.responses_folded(self.openai))
        return self.read(dialect, reply, stream)

    def guard(self, reply, read):
        self.server.lay(reply["status"], reply["content_type"], reply["body"].encode())
        try:
            return read()
        except openai.APIError as caught:
            return openai_readers.failed(caught)
        except anthropic.APIError as caught:
            return other_readers.anthropic_failed(caught)
        except errors.APIError as caught:
            return other_readers.gemini_failed(caught)
        # Whatever else a client raises is what is judged here.
        except Exception as caught:  # noqa: BLE001
            return {"raised": f"{type(caught).__name__}: {str(caught)[:300]}"}
