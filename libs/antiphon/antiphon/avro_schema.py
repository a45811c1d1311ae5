"""Message class -> Avro schema: the classes are the source, the files in schemas/ their reviewed copy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Self, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, JsonValue, RootModel
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from antiphon.avro_defaults import Schema, with_default
from antiphon.errors import ConfigurationError
from antiphon.messages import TYPE_PREFIX, Message

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN: dict[Any, Schema] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
    None: "null",
    NoneType: "null",
    UUID: {"type": "string", "logicalType": "uuid"},
    date: {"type": "int", "logicalType": "date"},
    AwareDatetime: {"type": "long", "logicalType": "timestamp-micros"},
    JsonValue: {"type": "string", "logicalType": "json"},
}
_INSTEAD: dict[Any, str] = {
    datetime: "a bare datetime may lack its zone: write AwareDatetime",
    Any: "Any says nothing to a reader: write JsonValue, or the types it may have",
    object: "object says nothing to a reader: write JsonValue, or the types it may have",
    list: "a list needs the type of its items: list[str]",
    dict: "a dict needs the type of its values: dict[str, float]",
}


def message_schema(message: type[Message]) -> dict[str, Any]:
    """The full schema of a message, in the namespace of its service or family (ConfigurationError as below).

    A "-", which Avro's names cannot have, becomes "_".
    """
    if not message.home():
        raise ConfigurationError([f"{message.__qualname__} names no service or family: class …(Event, family=…)"])
    return avro_schema(message, namespace(message))


def namespace(message: type[Message]) -> str:
    """The Avro namespace of a message and of every type that its schema defines."""
    return f"{TYPE_PREFIX}.{message.home().replace('-', '_')}"


def avro_schema(model: type[BaseModel], within: str) -> dict[str, Any]:
    """The full schema of a model in that namespace; the same class always gives the same schema.

    Raises ConfigurationError, which names class and field of every type that Avro cannot hold.
    """
    walk = _Walk()
    try:
        schema = walk.record(model)
    except TypeError as error:
        raise ConfigurationError([f"{model.__qualname__}: {error}"]) from None
    if walk.mistakes:
        raise ConfigurationError(walk.mistakes)
    return {"type": "record", "name": schema["name"], "namespace": within, **schema}


def schema_text(schema: Schema) -> str:
    """The schema as people review it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def record_name(model: type) -> str:
    """The class's name as Avro allows it: Page[int] -> Page_int."""
    return re.sub(r"\W+", "_", model.__name__).strip("_")


def unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type below Annotated, NewType and type aliases, with what was annotated to it."""
    metadata: tuple[Any, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata += tuple(more)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType) and annotation is not JsonValue:
            annotation = annotation.__value__
        else:
            return annotation, metadata


def is_union(annotation: Any) -> bool:
    """Whether it is `X | Y`, however it was written."""
    return get_origin(annotation) in (Union, UnionType)


def takes_no_bytes(schema: Schema, defined: Mapping[str, Any]) -> bool:
    """Whether a value of it is written as nothing: then a forged count of a list's items could not be noticed."""
    if isinstance(schema, str):
        others = {name: found for name, found in defined.items() if name != schema}
        return schema == "null" or (schema in defined and takes_no_bytes(defined[schema], others))
    if isinstance(schema, dict):
        fields = schema.get("fields")
        if fields is not None:
            return all(takes_no_bytes(field["type"], defined) for field in fields)
        return schema["type"] == "null" or (schema["type"] == "fixed" and not schema["size"])
    return False


class _Walk:
    """One walk through a class; remembers the names already defined, and every mistake."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self._owners: dict[str, Any] = {}
        self._defined: dict[str, dict[str, Any]] = {}
        self._model: type[BaseModel] = BaseModel
        self._field = ""

    def record(self, model: type[BaseModel]) -> dict[str, Any]:
        """The schema of a model that this message has not named yet."""
        schema: dict[str, Any] = {"type": "record", "name": self._claim(record_name(model), model)}
        if model.__doc__:
            schema["doc"] = " ".join(model.__doc__.split())
        try:
            model.model_rebuild()
        except PydanticUndefinedAnnotation as error:
            self.mistakes.append(f"{model.__qualname__}: {error.name} is not defined where the class stands")
            return {**schema, "fields": []}
        outer = self._model, self._field
        fields = []
        for name, info in model.model_fields.items():
            self._model, self._field = model, name
            fields.append(self._entry(name, info))
        self._model, self._field = outer
        schema["fields"] = fields
        return self._define(schema)

    def _define(self, schema: dict[str, Any]) -> dict[str, Any]:
        self._defined[schema["name"]] = schema
        return schema

    def _claim(self, name: str, owner: Any) -> str:
        """A name defined for this class (or these symbols) and for nothing else in the message."""
        if not _NAME.fullmatch(name):
            raise TypeError(f"{name!r} cannot be a name in Avro: use letters, digits and '_'")
        if self._owners.setdefault(name, owner) is not owner:
            raise TypeError(f"two different types are named {name} in one message: rename one")
        return name

    def _entry(self, name: str, info: FieldInfo) -> dict[str, Any]:
        """A field; a mistake in it is noted under the class and field, and the walk goes on."""
        schema: dict[str, Any] = {"name": name, "type": "null"}
        try:
            if not _NAME.fullmatch(name):
                raise TypeError(f"{name!r} cannot be a name in Avro: use letters, digits and '_'")
            if info.alias or info.validation_alias or info.serialization_alias:
                raise TypeError("a field has one name everywhere: rename it instead of giving it an alias")
            schema["type"] = self._type(info.annotation, tuple(info.metadata))
            if info.description:
                schema["doc"] = " ".join(info.description.split())
            if not info.is_required():
                self._add_default(schema, info)
        except (TypeError, ValueError) as error:
            self.mistakes.append(f"{self._model.__qualname__}.{name}: {error}")
        return schema

    def _add_default(self, schema: dict[str, Any], info: FieldInfo) -> None:
        """Only constants: a factory's value may differ from run to run, except that of an empty container."""
        if info.default_factory is None:
            schema["type"], schema["default"] = with_default(schema["type"], info.default, self._defined)
        elif info.default_factory in (list, set, frozenset, tuple, dict):
            schema["default"] = {} if info.default_factory is dict else []

    def _type(self, annotation: Any, metadata: tuple[Any, ...] = ()) -> Schema:
        annotation, more = unwrap(annotation)
        metadata += more
        origin, args = get_origin(annotation), get_args(annotation)
        if is_union(annotation):
            return self._union([self._type(arg, metadata) for arg in args])
        if origin is Literal:
            return self._literal(args)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            if self._type(args[0]) != "string":
                raise TypeError(f"{annotation} has keys that are no text; in Avro they are: write dict[str, …]")
            return {"type": "map", "values": self._type(args[1])}
        if isinstance(origin, type) and issubclass(origin, Sequence | Set):
            return self._array(annotation, origin, args)
        if annotation is Self:
            return self._class(self._model)
        return self._single(annotation, metadata)

    def _single(self, annotation: Any, metadata: tuple[Any, ...]) -> Schema:
        plain = _PLAIN.get(annotation)
        if plain is not None:
            return dict(plain) if isinstance(plain, dict) else plain
        if annotation is Decimal:
            return _decimal(metadata)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel | Enum):
            return self._class(annotation)
        raise TypeError(
            _INSTEAD.get(annotation)
            or f"{getattr(annotation, '__qualname__', annotation)} has no Avro type; those that have one are str, int, "
            "float, bool, bytes, UUID, date, AwareDatetime, Decimal, Enum, Literal, JsonValue, list, set, "
            "dict[str, …], pydantic models and unions of these"
        )

    def _class(self, kind: type[BaseModel | Enum]) -> Schema:
        name = record_name(kind)
        if self._owners.get(name) is kind:
            return name
        if issubclass(kind, RootModel):
            raise TypeError(f"{name} is a RootModel, which has no field to name: write a NewType or a model")
        if issubclass(kind, Enum):
            schema = self._symbols([member.value for member in kind])
            if isinstance(schema, dict):
                schema = self._define({"type": "enum", "name": self._claim(name, kind), **schema})
            return schema
        return self.record(kind)

    def _literal(self, values: Sequence[Any]) -> Schema:
        """An enum named after class and field, so that it keeps its name when a symbol is added."""
        if None in values:
            return self._union([self._literal([v for v in values if v is not None]), "null"])
        schema = self._symbols(values)
        if not isinstance(schema, dict):
            return schema
        stem = record_name(self._model) + "".join(map(str.capitalize, self._field.split("_")))
        name, number = stem, 1
        while name in self._owners:
            number += 1
            name = f"{stem}{number}"
        return self._define({"type": "enum", "name": self._claim(name, object()), **schema})

    @staticmethod
    def _symbols(values: Sequence[Any]) -> Schema:
        """Symbols and the default one, which a reader takes for a symbol that it does not know yet.

        It is the one called unknown (in any case), else the first. Numbers are written as numbers.
        """
        symbols = [value.value if isinstance(value, Enum) else value for value in values]
        if symbols and all(isinstance(symbol, int) and not isinstance(symbol, bool) for symbol in symbols):
            return "long"
        for symbol in symbols:
            if not (isinstance(symbol, str) and _NAME.fullmatch(symbol)):
                raise TypeError(f"{symbol!r} cannot be an Avro enum symbol (letters, digits and '_'): rename it")
        default = next((symbol for symbol in symbols if symbol.lower() == "unknown"), symbols[0])
        return {"symbols": symbols, "default": default}

    def _array(self, annotation: Any, origin: type, args: tuple[Any, ...]) -> Schema:
        if issubclass(origin, tuple) and (len(args) != 2 or args[1] is not Ellipsis):
            raise TypeError(f"{annotation} is a tuple of fixed length: write a model, whose fields have names")
        items = self._type(args[0])
        if takes_no_bytes(items, self._defined):
            raise TypeError(f"{annotation} has items that are written as nothing: give them a field, or send a count")
        return {"type": "array", "items": items}

    def _union(self, branches: Sequence[Schema]) -> Schema:
        """Flat, each kind once as Avro wants it; what takes many values stands behind what takes few."""
        flat: dict[str, Schema] = {}
        for branch in branches:
            for found in branch if isinstance(branch, list) else [branch]:
                kind = self._kind(found)
                if flat.setdefault(kind, found) != found:
                    raise TypeError(f"a union can hold one {kind} only: nothing tells {flat[kind]} and {found} apart")
        ordered = sorted(flat.values(), key=lambda found: self._takes_many(self._kind(found)))
        return ordered if len(ordered) > 1 else ordered[0]

    def _takes_many(self, kind: str) -> bool:
        owner = self._owners.get(kind)
        return kind == "double" or (isinstance(owner, type) and issubclass(owner, BaseModel))

    @staticmethod
    def _kind(schema: Schema) -> str:
        """What a writer can tell apart: a date or an instant would swallow a number, text a UUID."""
        if not isinstance(schema, dict):
            return str(schema)
        kind = str(schema.get("name", schema["type"]))
        return "long" if kind == "int" else kind


def _decimal(metadata: Sequence[Any]) -> Schema:
    flat = [limit for item in metadata for limit in (item.metadata if isinstance(item, FieldInfo) else (item,))]
    digits = [found for limit in flat if (found := getattr(limit, "max_digits", None))]
    places = [found for limit in flat if (found := getattr(limit, "decimal_places", None))]
    if not digits:
        raise TypeError("a Decimal needs its digits: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]")
    return {"type": "bytes", "logicalType": "decimal", "precision": digits[-1], "scale": places[-1] if places else 0}
