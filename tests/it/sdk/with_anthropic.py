"""The anthropic library, unmodified, against the gateway at $GATEWAY: what it asks and gets, whoever answers."""

import os

import anthropic
import httpx2
from anthropic.types import Message

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def client(secret="app", **options):
    return anthropic.Anthropic(base_url=os.environ["GATEWAY"], api_key=secret, **{"max_retries": 0, **options})


def user(content):
    return [{"role": "user", "content": content}]


def valid(value):
    """The library takes what comes; its own types say what it should have been."""
    return type(value).model_validate(value.to_dict(mode="json"))


def chat(model):
    answer = client().messages.create(model=model, max_tokens=50, system="Be kind.", messages=user("Hi [[gwsim output=12]]"), metadata={"user_id": "ann"})
    valid(answer)
    assert isinstance(answer, Message) and answer.stop_reason == "end_turn" and answer.content[0].text, answer
    assert answer.usage.output_tokens == 12 and answer.usage.input_tokens > 0, answer
    cut = client().messages.create(model=model, max_tokens=5, messages=user("Hi [[gwsim output=12]]"))
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 5, cut


def streaming(model):
    with client().messages.stream(model=model, max_tokens=50, messages=user("Hi [[gwsim output=12]]")) as stream:
        events = list(stream)
        final = stream.get_final_message()
    raw = [event.type for event in client().messages.create(model=model, max_tokens=50, messages=user("Hi [[gwsim output=12]]"), stream=True)]
    assert raw[0] == "message_start" and raw[-2:] == ["message_delta", "message_stop"], raw
    assert "text" in [event.type for event in events] and len(events) > 6, events
    valid(final)
    assert final.stop_reason == "end_turn" and len(final.content[0].text) == 48, final
    assert final.usage.output_tokens == 12 and final.usage.input_tokens > 0, final


def tools(model):
    question = user("Weather in Zürich? [[gwsim tool]]")
    asked = dict(model=model, max_tokens=500, tools=[TOOL], messages=question, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    answer = client().messages.create(**asked)
    valid(answer)
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use" and call.name == "get_weather" and "city" in call.input, answer
    with client().messages.stream(**asked) as stream:
        final = stream.get_final_message()
    [streamed] = [block for block in final.content if block.type == "tool_use"]
    assert final.stop_reason == "tool_use" and "city" in streamed.input, final
    result = [{"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"}, {"type": "text", "text": "So? [[gwsim output=4]]"}]
    turns = question + [{"role": "assistant", "content": [block.to_dict() for block in answer.content]}] + user(result)
    assert client().messages.create(model=model, max_tokens=50, tools=[TOOL], messages=turns).content[0].text


def images(model):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    answer = client().messages.create(model=model, max_tokens=50, messages=user([image, {"type": "text", "text": "What is it? [[gwsim output=4]]"}]))
    assert answer.content[0].text


def raises(kind, call, status, name):
    try:
        call()
    except anthropic.APIStatusError as error:
        assert type(error) is kind and error.status_code == status, (type(error), error)
        assert error.body["type"] == "error" and error.body["error"]["type"] == name, error.body
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def errors():
    ask = lambda secret="app", model="claude", **more: client(secret).messages.create(**{"model": model, "max_tokens": 9, "messages": user("Hi [[gwsim output=2]]"), **more})
    raises(anthropic.AuthenticationError, lambda: ask("wrong"), 401, "authentication_error")
    raises(anthropic.PermissionDeniedError, lambda: ask("narrow"), 403, "permission_error")
    raises(anthropic.NotFoundError, lambda: ask(model="nothing"), 404, "not_found_error")
    raises(anthropic.BadRequestError, lambda: ask(messages="hi"), 400, "invalid_request_error")
    ask("slow")
    limited = raises(anthropic.RateLimitError, lambda: ask("slow"), 429, "rate_limit_error")
    assert float(limited.response.headers["retry-after"]) > 0, limited.response.headers
    raises(anthropic.RateLimitError, lambda: ask("poor"), 429, "billing_error")
    raises(anthropic.ServiceUnavailableError, lambda: ask(model="down"), 503, "overloaded_error")
    for model in ("cut", "claude-cut"):
        # The status is that of the answer, which had begun.
        broken = raises(anthropic.APIStatusError, lambda: list(ask(model=model, max_tokens=50, messages=user("Hi [[gwsim output=12]]"), stream=True)), 200, "api_error")
        assert broken.message, broken


def retries():
    seen = []
    counted = httpx2.Client(event_hooks={"request": [lambda request: seen.append(request.headers.get("x-stainless-retry-count"))]})
    again = client(max_retries=2, http_client=counted)
    raises(anthropic.ServiceUnavailableError, lambda: again.messages.create(model="down", max_tokens=9, messages=user("Hi")), 503, "overloaded_error")
    assert seen == ["0", "1", "2"], seen


def the_rest():
    counted = client().messages.count_tokens(model="claude", messages=user("one two three four"))
    assert counted.input_tokens > 0, counted
    rescued = client().messages.with_raw_response.create(model="rescued", max_tokens=9, messages=user("Hi [[gwsim output=4]]"))
    assert rescued.headers["x-gwsim-deployment"] == "claude" and rescued.parse().content[0].text, rescued.headers


for model in ("claude", "gpt"):
    for scene in (chat, streaming, tools, images):
        scene(model)
errors()
retries()
the_rest()
print("all is well")
