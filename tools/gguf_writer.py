"""Writes GGUF v3 files: a header, typed metadata, tensor descriptions, then aligned tensor bytes.

Standard library only, so that any machine with Python can run the tools that use it.
Dimensions are given in GGUF order: the contiguous one (the input features of a matrix) first.
"""
import struct

ALIGNMENT = 32
F32, F16 = 0, 1  # ggml tensor types

_U32, _F32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9  # GGUF value types
_I32 = 5


def _string(text):
    raw = text if isinstance(text, bytes) else text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _value(value):
    """Type tag and payload; the GGUF type follows from the Python type."""
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return _U32, struct.pack("<I", value)
    if isinstance(value, float):
        return _F32, struct.pack("<f", value)
    if isinstance(value, (str, bytes)):
        return _STRING, _string(value)
    if isinstance(value[0], (str, bytes)):
        items, tag = b"".join(map(_string, value)), _STRING
    elif isinstance(value[0], float):
        items, tag = struct.pack(f"<{len(value)}f", *value), _F32
    else:
        items, tag = struct.pack(f"<{len(value)}i", *value), _I32
    return _ARRAY, struct.pack("<IQ", tag, len(value)) + items


def _padding(size):
    return b"\0" * (-size % ALIGNMENT)


def write(path, metadata, tensors):
    """metadata: {key: bool | int | float | str | list of one of these}.
    tensors: [(name, dims, type, little-endian bytes)], written in this order."""
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        tag, payload = _value(value)
        out += _string(key) + struct.pack("<I", tag) + payload
    offset = 0
    for name, dims, kind, data in tensors:
        out += _string(name) + struct.pack("<I", len(dims))
        out += struct.pack(f"<{len(dims)}QIQ", *dims, kind, offset)
        offset += len(data) + len(_padding(len(data)))
    out += _padding(len(out))
    with open(path, "wb") as file:
        file.write(out)
        for _, _, _, data in tensors:
            file.write(data)
            file.write(_padding(len(data)))
