"""Nothing that only its owner may know is left in a text, and nothing else is taken out of it."""

from __future__ import annotations

import json

import pytest

from antiphon.masking import MASK, conceal, masked

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdef123456", f"Authorization: Bearer {MASK}"),
        ("headers={'authorization': 'Basic dXNlcjpwYXNz'}", f"headers={{'authorization': 'Basic {MASK}'}}"),
        ("(b'authorization', b'x'), Bearer abcdef123456", f"(b'authorization', b'x'), Bearer {MASK}"),
        ("Endpoint=sb://a.net/;SharedAccessKeyName=root;SharedAccessKey=abc+/=;EntityPath=x",
         f"Endpoint=sb://a.net/;SharedAccessKeyName=root;SharedAccessKey={MASK};EntityPath=x"),
        ("sasl.password=swordfish and on", f"sasl.password={MASK} and on"),
        ('{"client_secret": "swordfish", "a": 1}', f'{{"client_secret": "{MASK}", "a": 1}}'),
        ("api-key: 123abc", f"api-key: {MASK}"),
        (f"token {JWT} refused", f"token {MASK} refused"),
        ("postgresql://user:sword@host/db", f"postgresql://user:{MASK}@host/db"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "dead letter 0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa from ('antiphon.commands.counting', 0, 3): no seat",
        "http://127.0.0.1:8003/commands is served; the passwords of others are no concern",
        "the bearer of this letter",
        "",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert masked(text) == text


def test_a_secret_that_is_known_is_masked_in_every_spelling() -> None:
    secret = 'canary "quoted" 1/2\n'
    conceal(secret, "abc")
    for text in (secret, json.dumps({"a": secret}), repr([secret]), "canary%20%22quoted%22%201%2F2%0A"):
        assert MASK in masked(f"x {text} y")
        assert "canary" not in masked(f"x {text} y")
    assert masked("abcdef") == "abcdef"  # three letters would be found everywhere
