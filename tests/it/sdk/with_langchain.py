"""LangChain's ChatOpenAI, unmodified, against the gateway at $GATEWAY: whoever answers."""

import os

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

URL = os.environ["GATEWAY"] + "/v1"


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"12 degrees in {city}"


for model in ("gpt", "claude"):
    chat = ChatOpenAI(model=model, base_url=URL, api_key="app", max_retries=0, max_tokens=500)
    answer = chat.invoke("Hi [[gwsim output=12]]")
    assert len(answer.content) >= 44 and answer.usage_metadata["output_tokens"] == 12, answer
    whole = None
    for chunk in chat.stream("Hi [[gwsim output=12]]", stream_usage=True):
        whole = chunk if whole is None else whole + chunk
    assert whole.content.strip() == answer.content.strip() and whole.usage_metadata["output_tokens"] == 12, whole
    question = HumanMessage("Weather in Zürich? [[gwsim tool]]")
    called = chat.bind_tools([get_weather], tool_choice="any").invoke([question])
    [call] = called.tool_calls
    assert call["name"] == "get_weather" and "city" in call["args"], called
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert chat.bind_tools([get_weather]).invoke([question, called, result, HumanMessage("So? [[gwsim output=4]]")]).content
assert len(OpenAIEmbeddings(model="embed", base_url=URL, api_key="app", check_embedding_ctx_length=False).embed_query("one")) > 0
try:
    ChatOpenAI(model="gpt", base_url=URL, api_key="wrong", max_retries=0).invoke("Hi")
    raise AssertionError("a wrong key was taken")
except openai.AuthenticationError:
    pass
print("all is well")
