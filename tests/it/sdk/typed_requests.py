"""Whether bodies that were translated are what the libraries' own types say: `typed_requests.py FILE`, a list of [dialect, body]. No key more, no value else."""

import collections.abc
import importlib
import json
import pkgutil
import sys
import typing

import anthropic.types
import openai.types.chat
import openai.types.shared_params
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming
from pydantic import ConfigDict, TypeAdapter


def strictly(package):
    """Has the types of a package refuse keys that they don't have. A JSON schema may have any."""
    for _, name, _ in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for kind in vars(importlib.import_module(name)).values():
            if typing.is_typeddict(kind) and "Schema" not in kind.__name__ and not hasattr(kind, "__pydantic_config__"):
                kind.__pydantic_config__ = ConfigDict(extra="forbid")


def whole(value):
    """Looks at lists too, which are checked as they are read."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, collections.abc.Iterable) and not isinstance(value, (str, bytes)):
        return [whole(item) for item in value]
    return value


for package in (anthropic.types, openai.types.chat, openai.types.shared_params):
    strictly(package)
TYPES = {
    ("anthropic", False): MessageCreateParamsNonStreaming,
    ("anthropic", True): MessageCreateParamsStreaming,
    ("openai", False): CompletionCreateParamsNonStreaming,
    ("openai", True): CompletionCreateParamsStreaming,
}
# What older models take, and the library has in `extra_body` since.
OF_OLD = {"temperature", "top_p"}
ADAPTERS = {key: TypeAdapter(kind) for key, kind in TYPES.items()}
with open(sys.argv[1]) as file:
    requests = json.load(file)
for dialect, body in requests:
    checked = {key: value for key, value in body.items() if dialect == "openai" or key not in OF_OLD}
    found = whole(ADAPTERS[dialect, body.get("stream", False)].validate_python(checked))
    assert found == checked, (found, checked)
# A type that takes anything would prove nothing.
for wrong in ({"role": "user", "content": [{"type": "text", "txt": "x"}]}, {"role": "robot", "content": "x"}):
    try:
        whole(ADAPTERS["anthropic", False].validate_python({"model": "m", "max_tokens": 1, "messages": [wrong]}))
    except Exception:
        continue
    raise AssertionError(f"the types took {wrong}")
for wrong in ({"role": "user", "content": [{"type": "image_url", "image": {}}]}, {"role": "tool", "content": "x"}):
    try:
        whole(ADAPTERS["openai", False].validate_python({"model": "m", "messages": [wrong]}))
    except Exception:
        continue
    raise AssertionError(f"the types took {wrong}")
print("all is well")
