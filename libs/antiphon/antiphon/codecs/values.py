"""From a message object to what fastavro writes; decided once per class, so that most objects pass as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel

from antiphon.avro_schema import is_union, record_name, unwrap

Convert = Callable[[Any], Any]

_as_it_is: Convert = attrgetter("__dict__")


class Fields:
    """For each class a function from an object to the mapping that fastavro writes.

    That is the object's own `__dict__`, wherever fastavro takes its values as they are: text, numbers, bytes, UUIDs,
    instants, dates, decimals, text enums, JSON values, lists and dicts of these. Models inside become mappings; in a
    union they carry their Avro name, since fields alone may not tell two models apart. `alternatives` are, by that
    name, the models that stand beside another in a union: who reads must look at the name too.
    """

    def __init__(self, namespace: str) -> None:
        self.alternatives: dict[str, type[BaseModel]] = {}
        self._namespace = namespace
        self._of: dict[type[BaseModel], Convert] = {}

    def of(self, model: type[BaseModel]) -> Convert:
        """The function for objects of this class."""
        known = self._of.get(model)
        if known is not None:
            return known
        self._of[model] = lambda value: self._of[model](value)  # for models that refer to themselves
        found = [
            (name, convert)
            for name, info in model.model_fields.items()
            if (convert := self._convert(info.annotation, model)) is not None
        ]
        self._of[model] = _some_converted(found) if found else _as_it_is
        return self._of[model]

    def _convert(self, annotation: Any, model: type[BaseModel]) -> Convert | None:
        """What must be done to a value of this type; None if nothing."""
        annotation, _ = unwrap(annotation)
        origin, args = get_origin(annotation), get_args(annotation)
        if is_union(annotation):
            return self._union(args, model)
        if origin is Literal:
            return _symbol if any(isinstance(arg, Enum) for arg in args) else None
        if annotation is Self:
            return self.of(model)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            convert = self._convert(args[1], model)
            return None if convert is None else lambda value: {key: convert(item) for key, item in value.items()}
        if isinstance(origin, type) and issubclass(origin, Sequence | Set):
            return self._items(origin, self._convert(args[0], model))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self.of(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Enum) and not issubclass(annotation, str | int):
            return _symbol
        return None

    @staticmethod
    def _items(origin: type, convert: Convert | None) -> Convert | None:
        each = convert or (lambda item: item)
        if issubclass(origin, Set):
            # in an order of their own: the order of a set differs between processes, the bytes must not
            return lambda value: sorted(map(each, value), key=repr)
        if issubclass(origin, list) and convert is None:
            return None
        return lambda value: [each(item) for item in value]

    def _union(self, args: Sequence[Any], model: type[BaseModel]) -> Convert | None:
        arms: dict[type, Convert] = {}
        models: dict[str, type[BaseModel]] = {}
        for arg in _flat(args):
            convert = self._convert(arg, model)
            if convert is None:
                continue
            kind: Any = model if arg is Self else Enum if get_origin(arg) is Literal else get_origin(arg) or arg
            if issubclass(kind, BaseModel):
                name = f"{self._namespace}.{record_name(kind)}"
                models[name] = kind
                convert = partial(_named, name, convert)
            arms[kind] = convert
        if len(models) > 1:
            self.alternatives |= models
        return partial(_of_its_arm, arms) if arms else None


def _flat(args: Sequence[Any]) -> Iterator[Any]:
    """The types of a union, also of those that an alias puts inside it."""
    for arg in args:
        inner, _ = unwrap(arg)
        if is_union(inner):
            yield from _flat(get_args(inner))
        else:
            yield inner


def _of_its_arm(arms: Mapping[type, Convert], value: Any) -> Any:
    convert = arms.get(type(value))
    if convert is None:
        convert = next((arm for kind, arm in arms.items() if isinstance(value, kind)), None)
    return value if convert is None else convert(value)


def _named(name: str, convert: Convert, value: Any) -> tuple[str, Any]:
    return name, convert(value)


def _symbol(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _some_converted(found: Sequence[tuple[str, Convert]]) -> Convert:
    def fields(value: Any) -> dict[str, Any]:
        own = dict(value.__dict__)
        for name, convert in found:
            own[name] = convert(own[name])
        return own

    return fields
