"""Reading of GGUF files. Floating-point numbers stay what they are in the file: bits."""

import struct
from dataclasses import dataclass
from math import prod

import numpy as np


class Refused(Exception):
    """A file that the arithmetic is not defined for."""


@dataclass(frozen=True)
class Single:
    """A 32-bit floating-point number, by its bits."""

    bits: int

    def exact(self):
        """(m, x) with the number m · 2^x and |m| < 2^24."""
        exponent, fraction = self.bits >> 23 & 0xFF, self.bits & 0x7FFFFF
        if exponent == 0xFF:
            raise Refused("no number")
        m = fraction if exponent == 0 else fraction | 1 << 23
        return (-m if self.bits >> 31 else m), max(exponent, 1) - 150


@dataclass(frozen=True)
class Tensor:
    kind: int
    shape: tuple  # innermost first, as in the file
    data: np.ndarray  # bytes


# Types of metadata: struct's letter; 6 and 12 are floating point and keep their bits.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "I", 7: "?", 10: "Q", 11: "q", 12: "Q"}
# Types of tensors: (elements, bytes) of a block.
KINDS = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "BF16": 30,
}  # fmt: skip
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2)}


class File:
    """Metadata by key, tensors by name. `types` has each key's type, (9, type of the items) for arrays."""

    def __init__(self, data):
        self.data, self.at = memoryview(data), 0
        if self._take(4) != b"GGUF" or self._number("I") not in (2, 3):
            raise Refused("no GGUF file of version 2 or 3")
        tensors, pairs = self._number("Q"), self._number("Q")
        self.meta, self.types = {}, {}
        for _ in range(pairs):
            key = self._string().decode()
            kind = self._number("I")
            inner = struct.unpack_from("<I", self.data, self.at)[0] if kind == 9 else None
            self.meta[key], self.types[key] = self._value(kind), kind if inner is None else (9, inner)
        infos = [self._info() for _ in range(tensors)]
        align = self.meta.get("general.alignment", 32)
        base = -(-self.at // align) * align
        self.tensors = {}
        for name, shape, kind, offset in infos:
            if kind not in BLOCKS:
                raise Refused(f"type {kind} of {name}")
            elements, size = BLOCKS[kind]
            if shape[0] % elements:
                raise Refused(f"rows of {name}")
            start = base + offset
            data = self.data[start : start + prod(shape) // elements * size]
            self.tensors[name] = Tensor(kind, shape, np.frombuffer(data, np.uint8))

    def _take(self, count):
        self.at += count
        if self.at > len(self.data):
            raise Refused("the file ends early")
        return bytes(self.data[self.at - count : self.at])

    def _number(self, letter):
        return struct.unpack("<" + letter, self._take(struct.calcsize("<" + letter)))[0]

    def _string(self):
        return self._take(self._number("Q"))

    def _value(self, kind):
        if kind == 8:
            return self._string()
        if kind == 9:
            inner, count = self._number("I"), self._number("Q")
            return [self._value(inner) for _ in range(count)]
        value = self._number(SCALARS[kind])
        return Single(value) if kind == 6 else value

    def _info(self):
        name = self._string().decode()
        shape = tuple(self._number("Q") for _ in range(self._number("I")))
        return name, shape, self._number("I"), self._number("Q")
