"""Ways to spoil a file: bytes and values changed blindly, and files whose lengths and checksums are right again."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import yaml

from vitas_hw.predictors.sealed_file import seal

Mutator = Callable[[bytes, random.Random], bytes]
_NASTY = (
    "null", "true", "-1", "0", "1e308", "-0.0", "9223372036854775807", "1e999", "NaN", '""', "[]", "{}", "[[[[]]]]",
    '"\\u0000"', "[1,2]", '{"a":1}', "1048577", "0.5", '"a"', "1.0", "-1e308", "1e-320", "18446744073709551615",
    '"\\ud800"', '"=1+1"', '"a\\nb"', '"../../x"', "1048576", '"\\u001b[31m"',
)  # fmt: skip
_VALUE = re.compile(rb'"[^"]*"|-?\d+(\.\d+)?|null|true|false')


def blind(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: a value replaced by a nasty one, bytes changed, cut out, doubled, or the end cut off."""
    for _ in range(rng.randint(1, 4)):
        how, at = rng.randrange(5), rng.randrange(len(data) + 1)
        if how == 0:
            values = [match.span() for match in _VALUE.finditer(data[at : at + 4096])]
            if values:
                start, end = rng.choice(values)
                data = data[: at + start] + rng.choice(_NASTY).encode() + data[at + end :]
        elif how == 1:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif how == 2:
            data = data[:at] + data[at + rng.randint(1, 20) :]
        elif how == 3:
            data = data[:at] + data[at : at + 40] * 2 + data[at + 40 :]
        else:
            data = data[:at]
    return data


def values(data: bytes, rng: random.Random) -> bytes:
    """JSON that is still JSON: values replaced, taken from elsewhere in the file, removed, or put in a list."""
    return json.dumps(_changed(json.loads(data), rng)).encode()


def yaml_values(data: bytes, rng: random.Random) -> bytes:
    """YAML that is still YAML, changed as ``values`` does."""
    return yaml.safe_dump(_changed(yaml.safe_load(data), rng)).encode()


def lines(data: bytes, rng: random.Random) -> bytes:
    """JSON Lines: a line changed as ``values`` does, doubled, removed, or moved."""
    found = data.splitlines()
    at = rng.randrange(len(found))
    how = rng.randrange(5)
    if how < 2:
        found[at] = values(found[at], rng)
    elif how == 2:
        found.insert(rng.randrange(len(found) + 1), found[at])
    elif how == 3:
        del found[at]
    else:
        found.insert(rng.randrange(len(found)), found.pop(at))
    return b"".join(line + b"\n" for line in found)


def resealed(data: bytes, rng: random.Random) -> bytes:
    """A predictor's file with changed values whose hash fits again."""
    whole = json.loads(data)
    whole.pop("sha256")
    changed = _changed(whole, rng)
    return seal(changed).encode() if isinstance(changed, dict) else json.dumps(changed).encode()


def safetensors(data: bytes, rng: random.Random) -> bytes:
    """A header with changed values whose length fits again: offsets, shapes, and JSON that stands within as text."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    told = header.get("__metadata__", {})
    inner = [name for name, text in told.items() if text[:1] in "[{"]
    if inner and rng.random() < 0.4:
        name = rng.choice(inner)
        told[name] = json.dumps(_changed(json.loads(told[name]), rng))
    elif rng.random() < 0.6:
        header = _changed(header, rng)
    else:
        at = rng.randrange(max(len(body) - 3, 1))
        body = body[:at] + rng.choice((b"\0\0\xc0\x7f", b"\xff\xff\x7f\x7f", b"\0\0\x80\xff")) + body[at + 4 :]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def png(data: bytes, rng: random.Random) -> bytes:
    """A chunk changed, doubled, removed or moved, its checksum right; of another kind of file, blind changes."""
    if not data.startswith(b"\x89PNG"):
        return blind(data, rng)
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which, how = rng.randrange(len(chunks)), rng.randrange(6)
    kind, content = chunks[which]
    if how < 3:
        chunks[which] = kind, blind(content, rng)
    elif how == 3:
        chunks.insert(rng.randrange(len(chunks)), chunks[which])
    elif how == 4:
        del chunks[which]
    else:
        chunks[which] = rng.choice((b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"IHDR", b"gAMA")), content
    parts = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return data[:8] + b"".join(parts)


def onnx_metadata(data: bytes, rng: random.Random) -> bytes:
    """An ONNX file whose preprocessing or class names are other JSON, or gone."""
    model = onnx.load_from_string(data)
    told = {one.key: one.value for one in model.metadata_props}
    name = rng.choice(("preprocessing", "preprocessing", "class_names"))
    if rng.random() < 0.1:
        del told[name]
    else:
        told[name] = json.dumps(_changed(json.loads(told[name]), rng))
    onnx.helper.set_model_props(model, told)
    return bytes(model.SerializeToString())


def onnx_graph(data: bytes, rng: random.Random) -> bytes:
    """An ONNX file that is still one: of its graph a shape, an element type, a weight's bytes, an attribute, a node, or
    what it gives is another.
    """
    model = onnx.load_from_string(data)
    graph = model.graph
    for _ in range(rng.randint(1, 3)):
        how = rng.randrange(7)
        if how == 0:
            shape = rng.choice([*graph.input, *graph.output]).type.tensor_type.shape.dim
            if shape:
                rng.choice(shape).dim_value = rng.choice((0, 1, 2, 7, -1, 2**31, 2**62))
        elif how == 1:
            rng.choice([*graph.input, *graph.output]).type.tensor_type.elem_type = rng.randrange(1, 17)
        elif how == 2:
            weight = rng.choice(graph.initializer)
            weight.raw_data = blind(weight.raw_data, rng)
        elif how == 3:
            weight = rng.choice(graph.initializer)
            if weight.dims:
                weight.dims[rng.randrange(len(weight.dims))] = rng.choice((0, 1, 3, 64, 2**31, -1))
        elif how == 4:
            numbers = [one for node in graph.node for one in node.attribute if one.ints or one.type == 2]
            if numbers:
                one = rng.choice(numbers)
                one.i = rng.choice((0, 1, -1, 2, 2**31, -(2**62)))
                one.ints[:] = [rng.choice((0, 1, -1, 2**31, number)) for number in one.ints]
        elif how == 5 and len(graph.node) > 1:
            node, other = rng.sample(list(graph.node), 2)
            node.op_type = other.op_type
        else:
            graph.output[0].name = rng.choice([name for node in graph.node for name in node.output])
    return bytes(model.SerializeToString())


def zipped(data: bytes, rng: random.Random) -> bytes:
    """One of torch's files with an entry changed, doubled, removed or renamed, its checksums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    at, how = rng.randrange(len(entries)), rng.randrange(6)
    name, content = entries[at]
    if how < 4:
        entries[at] = name, blind(content, rng)
    elif how == 4:
        del entries[at]
    else:
        entries[at] = rng.choice(("../../x", "archive/data.pkl", "archive/version", name * 2)), content
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as file:
        for name, content in dict(entries).items():
            file.writestr(name, content)
    return made.getvalue()


def _places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _changed(data: Any, rng: random.Random) -> Any:
    for _ in range(rng.randint(1, 3)):
        found = list(_places(data))
        if not found:
            return _nasty(rng)
        # large arrays would otherwise take nearly all of the changes
        path = min((rng.choice(found) for _ in range(rng.randint(1, 3))), key=len)
        part = data
        for key in path[:-1]:
            part = part[key]
        key, how = path[-1], rng.randrange(6)
        if how < 3:
            part[key] = _nasty(rng)
        elif how == 3:
            other = data
            for step in rng.choice(found):
                other = other[step]
            part[key] = json.loads(json.dumps(other))
        elif how == 4:
            del part[key]
        else:
            part[key] = _near(part[key], rng)
    return data


def _nasty(rng: random.Random) -> Any:
    return json.loads(rng.choice([text for text in _NASTY if text not in ("1e999", "NaN")]))


def _near(value: Any, rng: random.Random) -> Any:
    """A value of the same type: what passes a check of types."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, -value, value * 2, 0, 2**31 - 1, 2**31, 2**63))
    if isinstance(value, float):
        return rng.choice((-value, value * 1e30, value * 1e-30, value + 1, 1.0, 0.0))
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value * 100, "\n" + value, value.upper()))
    if isinstance(value, list):
        return rng.choice((value[:-1], value * 2, value[::-1], [value]))
    return [value]
