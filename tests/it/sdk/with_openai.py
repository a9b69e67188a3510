"""The openai library, unmodified, against the gateway at $GATEWAY: what it asks and gets, whoever answers."""

import json
import os

import httpx
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

URL = os.environ["GATEWAY"] + "/v1"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def client(secret="app", **options):
    return openai.OpenAI(base_url=URL, api_key=secret, **{"max_retries": 0, **options})


def user(text):
    return [{"role": "user", "content": text}]


def valid(value):
    """The library takes what comes; its own types say what it should have been."""
    return type(value).model_validate(value.to_dict(mode="json"))


def chat(model):
    answer = client().chat.completions.create(model=model, messages=user("Hi [[gwsim output=12]]"), max_tokens=50, user="ann", temperature=1.5)
    valid(answer)
    assert isinstance(answer, ChatCompletion) and answer.model, answer
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.content, answer
    assert answer.usage.completion_tokens == 12 and answer.usage.total_tokens == answer.usage.prompt_tokens + 12, answer
    cut = client().chat.completions.create(model=model, messages=user("Hi [[gwsim output=12]]"), max_tokens=5)
    assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens == 5, cut


def streaming(model):
    asked = dict(model=model, messages=user("Hi [[gwsim output=12]]"), max_tokens=50, stream=True)
    chunks = list(client().chat.completions.create(**asked))
    assert all(isinstance(valid(chunk), ChatCompletionChunk) and chunk.usage is None for chunk in chunks), chunks
    assert all(len(chunk.choices) == 1 for chunk in chunks), "usage was not asked for"
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].choices[0].finish_reason == "stop", chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert len(text) == 48 and len(chunks) >= 4, (text, len(chunks))
    *_, last = client().chat.completions.create(**asked, stream_options={"include_usage": True})
    assert last.usage.completion_tokens == 12 and last.choices == [], last
    with client().chat.completions.stream(**{key: value for key, value in asked.items() if key != "stream"}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds and "content.done" in kinds, kinds
    assert final.choices[0].message.content == text, final


def tools(model):
    question = user("Weather in Zürich? [[gwsim tool]]")
    asked = dict(model=model, messages=question, max_tokens=500, tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    answer = client().chat.completions.create(**asked)
    valid(answer)
    [call] = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason in ("tool_calls", "stop") and call.function.name == "get_weather", answer
    assert "city" in json.loads(call.function.arguments), call
    with client().chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    [streamed] = final.choices[0].message.tool_calls
    assert streamed.function.name == "get_weather" and "city" in json.loads(streamed.function.arguments), final
    turns = question + [answer.choices[0].message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}]
    for more in ({"tools": [TOOL]}, {}):
        result = client().chat.completions.create(model=model, messages=turns + user("So? [[gwsim output=4]]"), max_tokens=50, **more)
        assert result.choices[0].message.content, result


def images(model):
    parts = [{"type": "text", "text": "What is it? [[gwsim output=4]]"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]
    assert client().chat.completions.create(model=model, messages=user(parts), max_tokens=50).choices[0].message.content


def raises(kind, call, status, **expected):
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind and error.status_code == status, (type(error), error)
        assert error.message and error.body["type"], error
        for name, value in expected.items():
            assert getattr(error, name) == value, (name, getattr(error, name), error)
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def errors():
    ask = lambda secret="app", model="gpt", **more: client(secret).chat.completions.create(model=model, messages=user("Hi [[gwsim output=2]]"), max_tokens=9, **more)
    raises(openai.AuthenticationError, lambda: ask("wrong"), 401, code="invalid_api_key")
    raises(openai.PermissionDeniedError, lambda: ask("narrow", "claude"), 403)
    raises(openai.NotFoundError, lambda: ask(model="nothing"), 404, code="model_not_found")
    raises(openai.BadRequestError, lambda: client().chat.completions.create(model="gpt", messages="hi"), 400, param="messages")
    ask("slow")
    limited = raises(openai.RateLimitError, lambda: ask("slow"), 429)
    assert float(limited.response.headers["retry-after"]) > 0, limited.response.headers
    raises(openai.RateLimitError, lambda: ask("poor"), 429)
    raises(openai.InternalServerError, lambda: ask(model="down"), 503)
    for model in ("cut", "claude-cut"):
        try:
            list(client().chat.completions.create(model=model, messages=user("Hi [[gwsim output=12]]"), max_tokens=50, stream=True))
            raise AssertionError("a stream that was cut ended well")
        except openai.APIError as error:
            assert not isinstance(error, openai.APIConnectionError) and error.message, error


def retries():
    seen = []
    counted = httpx.Client(event_hooks={"request": [lambda request: seen.append(request.headers.get("x-stainless-retry-count"))]})
    raises(openai.InternalServerError, lambda: client(max_retries=2, http_client=counted).chat.completions.create(model="down", messages=user("Hi")), 503)
    assert seen == ["0", "1", "2"], seen


def the_rest():
    embedding = client().embeddings.create(model="embed", input=["one", "two"], dimensions=8)
    assert [len(item.embedding) for item in embedding.data] == [8, 8] and embedding.usage.prompt_tokens > 0, embedding
    assert {model.id for model in client().models.list()} >= {"gpt", "claude", "embed"}
    text = client().completions.create(model="gpt", prompt="Hi [[gwsim output=4]]", max_tokens=9)
    assert text.usage.completion_tokens == 4, text
    response = client().responses.create(model="gpt", input="Hi [[gwsim output=4]]", max_output_tokens=30)
    assert response.output_text and response.usage.output_tokens == 4, response
    with client().responses.stream(model="gpt", input="Hi [[gwsim output=4]]", max_output_tokens=30) as stream:
        assert "response.completed" in [event.type for event in stream]
    rescued = client().chat.completions.with_raw_response.create(model="rescued", messages=user("Hi [[gwsim output=4]]"), max_tokens=9)
    assert rescued.headers["x-gwsim-deployment"] == "claude" and rescued.parse().choices[0].message.content, rescued.headers


for model in ("gpt", "claude"):
    for scene in (chat, streaming, tools, images):
        scene(model)
errors()
retries()
the_rest()
print("all is well")
