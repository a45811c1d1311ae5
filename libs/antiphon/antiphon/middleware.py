"""Middleware: what runs around every attempt of a handler."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

from antiphon.context import Context

Fn = Callable[..., Any]
# (message, context, call_next); `await call_next()` in an `async def`, `call_next()` in a plain one
AsyncMiddleware = Callable[[Any, Context, Callable[[], Awaitable[Any]]], Awaitable[Any]]
PlainMiddleware = Callable[[Any, Context, Callable[[], Any]], Any]
MiddlewareT = TypeVar("MiddlewareT", bound=AsyncMiddleware | PlainMiddleware)


def around(fn: Fn, layers: Sequence[Fn]) -> Fn:
    """The handler inside of those layers that have its colour, the first one outermost; itself where there are none."""
    asynchronous = inspect.iscoroutinefunction(fn)
    for layer in reversed(layers):
        if inspect.iscoroutinefunction(layer) == asynchronous:
            fn = _inside_async(layer, fn) if asynchronous else _inside_plain(layer, fn)
    return fn


def passed_by(fns: Iterable[Fn], layers: Sequence[Fn]) -> list[str]:
    """Handlers that no layer would be around, one line each: none may escape what was meant for all of them."""
    colours = {inspect.iscoroutinefunction(layer) for layer in layers}
    if len(colours) != 1:
        return []
    (asynchronous,) = colours
    names = ", ".join(layer.__qualname__ for layer in layers)
    mine, other = ("an `async def`", "a plain `def`") if asynchronous else ("a plain `def`", "an `async def`")
    return [
        f"{fn.__qualname__} is {other}, and middleware ({names}) is there as {mine} alone: register {other} too"
        for fn in fns
        if inspect.iscoroutinefunction(fn) != asynchronous
    ]


def _inside_async(layer: Fn, fn: Fn) -> Fn:
    @wraps(fn)
    async def attempt(message: Any, ctx: Context) -> Any:
        return await layer(message, ctx, _once(layer, fn, message, ctx))

    return attempt


def _inside_plain(layer: Fn, fn: Fn) -> Fn:
    @wraps(fn)
    def attempt(message: Any, ctx: Context) -> Any:
        return layer(message, ctx, _once(layer, fn, message, ctx))

    return attempt


def _once(layer: Fn, fn: Fn, message: Any, ctx: Context) -> Callable[[], Any]:
    """`call_next`: a second call would emit everything twice, which is what `Retry` is there to avoid."""
    called = False

    def call_next() -> Any:
        nonlocal called
        if called:
            raise RuntimeError(
                f"{layer.__qualname__} has called call_next twice: an attempt runs once, Retry makes another one"
            )
        called = True
        return fn(message, ctx)

    return call_next
