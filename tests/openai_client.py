"""The stock OpenAI client against a gateway: nothing is set but the base URL and the key.

Prints one line of JSON: the completion ids, so that the caller can see what became of them.
"""

import json
import os
import sys

import openai

BASE = os.environ["OPENAI_BASE_URL"]
MODEL = os.environ["ASSAY_MODEL"]
PROMPT = "Tell me a story about a brave fox."
MESSAGES = [{"role": "user", "content": PROMPT}]

client = openai.OpenAI(max_retries=0, timeout=60)
ids = []


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def models():
    listed = client.models.list()
    check([m.id for m in listed.data] == [MODEL], f"models: {listed}")
    check(client.models.retrieve(MODEL).id == MODEL, "models.retrieve")


def chat():
    order = dict(model=MODEL, messages=MESSAGES, max_tokens=40, seed=11, temperature=0.8)
    whole = client.chat.completions.create(**order)
    ids.append(whole.id)
    choice = whole.choices[0]
    check(whole.object == "chat.completion" and whole.model == MODEL, f"chat: {whole}")
    check(choice.message.role == "assistant" and len(choice.message.content) > 20, f"chat: {whole}")
    check(choice.finish_reason in ("stop", "length"), f"chat: {whole}")
    usage = whole.usage
    check(1 <= usage.completion_tokens <= 40 and usage.prompt_tokens > 5, f"usage: {usage}")
    check(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, f"usage: {usage}")
    check(choice.finish_reason != "length" or usage.completion_tokens == 40, f"usage: {usage}")

    # The same seed: the same text, whoever answers, streamed or not.
    again = client.chat.completions.create(**order)
    ids.append(again.id)
    check(again.id != whole.id, "two answers share an id")
    check(again.choices[0].message.content == choice.message.content, "one seed gave two texts")
    other = client.chat.completions.create(**{**order, "seed": 12})
    ids.append(other.id)
    check(other.choices[0].message.content != choice.message.content, "two seeds gave one text")

    chunks = list(client.chat.completions.create(**order, stream=True, stream_options={"include_usage": True}))
    ids.append(chunks[0].id)
    check({c.id for c in chunks} == {chunks[0].id}, "ids differ within a stream")
    check({c.object for c in chunks} == {"chat.completion.chunk"}, "objects of a stream")
    check(chunks[0].choices[0].delta.role == "assistant", f"first chunk: {chunks[0]}")
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    check(text == choice.message.content, f"streamed {text!r}, whole {choice.message.content!r}")
    check(len([c for c in chunks if c.choices and c.choices[0].delta.content]) > 5, "the text came in few pieces")
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    check(reasons == [choice.finish_reason], f"finish reasons {reasons}")
    check(chunks[-1].usage == usage and not chunks[-1].choices, f"last chunk: {chunks[-1]}")

    # Roles, parts of content, and the newer name of the limit.
    parts = [
        {"role": "system", "content": "You tell stories."},
        {"role": "user", "content": [{"type": "text", "text": "A story about a cat."}]},
        {"role": "assistant", "content": "Once upon a time"},
        {"role": "user", "content": "Go on."},
    ]
    rich = client.chat.completions.create(model=MODEL, messages=parts, max_completion_tokens=5)
    ids.append(rich.id)
    check(rich.usage.completion_tokens <= 5, f"max_completion_tokens: {rich.usage}")


def completions():
    order = dict(model=MODEL, prompt="Once upon a time", max_tokens=40, temperature=0)
    whole = client.completions.create(**order)
    ids.append(whole.id)
    text = whole.choices[0].text
    check(whole.object == "text_completion" and len(text) > 20, f"completion: {whole}")
    chunks = list(client.completions.create(**order, stream=True))
    ids.append(chunks[0].id)
    check("".join(c.choices[0].text for c in chunks if c.choices) == text, "completion, streamed and not")
    # Greedy: the seed changes nothing.
    seeded = client.completions.create(**order, seed=5)
    ids.append(seeded.id)
    check(seeded.choices[0].text == text, "greedy texts differ")

    # A stop string ends the text before itself; the stream is cut at the same place.
    words = text.split()
    stop = " " + words[4]
    expected = text[: text.index(stop)]
    stopped = client.completions.create(**order, stop=[stop, "never in a story 4711"])
    ids.append(stopped.id)
    check(stopped.choices[0].text == expected, f"stop {stop!r}: {stopped.choices[0].text!r}, not {expected!r}")
    check(stopped.choices[0].finish_reason == "stop", f"stop: {stopped}")
    # The server is told to stop, but a short answer may be complete before it hears of it.
    check(5 <= stopped.usage.completion_tokens <= whole.usage.completion_tokens, f"stop: {stopped.usage}")
    chunks = list(client.completions.create(**order, stop=stop, stream=True))
    ids.append(chunks[0].id)
    check("".join(c.choices[0].text for c in chunks if c.choices) == expected, "stop, streamed")


def raises(kind, status, param, call, code=None):
    try:
        call()
    except kind as error:
        check(error.status_code == status, f"{error.status_code} instead of {status}: {error}")
        check(error.param == param, f"param {error.param} instead of {param}: {error}")
        check(code is None or error.code == code, f"code {error.code} instead of {code}")
        check(len(error.body["message"]) > 10, f"no message: {error}")
        return
    sys.exit(f"FAILED: {kind.__name__} was not raised")


def errors():
    create = client.chat.completions.create
    order = dict(model=MODEL, messages=MESSAGES, max_tokens=5)
    raises(openai.NotFoundError, 404, "model", lambda: create(**{**order, "model": "gpt-4"}), "model_not_found")
    raises(openai.NotFoundError, 404, None, lambda: client.models.retrieve("gpt-4"), "model_not_found")
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    raises(openai.BadRequestError, 400, "tools", lambda: create(**order, tools=[tool]), "unsupported_parameter")
    raises(openai.BadRequestError, 400, "n", lambda: create(**order, n=2), "unsupported_parameter")
    raises(openai.BadRequestError, 400, "tools", lambda: create(**order, tools=[tool], stream=True))
    raises(openai.BadRequestError, 400, "max_tokens", lambda: create(**{**order, "max_tokens": 100000}))
    raises(openai.BadRequestError, 400, "max_tokens", lambda: create(**{**order, "max_tokens": 0}))
    stranger = openai.OpenAI(api_key="wrong", max_retries=0)
    raises(openai.AuthenticationError, 401, None, lambda: stranger.models.list(), "invalid_api_key")
    # Fields that ask for nothing are let through, since clients send them.
    harmless = create(**order, n=1, user="me", presence_penalty=0, logprobs=False, tools=[], metadata={"a": "b"})
    ids.append(harmless.id)


models()
chat()
completions()
errors()
print(json.dumps(ids))
