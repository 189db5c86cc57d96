"""What a compiled program does, read from its HLO text: products, their types and precision, collectives, aliases, host
calls."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from typing import NamedTuple

_TYPE = re.compile(r"\b(pred|[suf]\d+|bf16|c64|c128|f8\w*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) (?:\(.*\) -> .*)?\{$")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\(.*?\)(?= [a-z][\w-]*\()|\S+) ([a-z][\w-]*)\((.*)$")
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_CUDNN = "__cudnn$conv"
_HIGHEST = ("operand_precision={highest,highest}", '"operand_precision":["HIGHEST","HIGHEST"]')


class Shape(NamedTuple):
    """Element type ('bf16', 'f32') and sizes of an array."""

    dtype: str
    sizes: tuple[int, ...]


class Instruction(NamedTuple):
    """One line: what it makes (several arrays for a tuple), its operation, its operands' shapes, the whole line.

    within: the computation that it stands in.
    """

    made: tuple[Shape, ...]
    operation: str
    operands: tuple[Shape, ...]
    line: str
    within: str


class Products(NamedTuple):
    """Matrix products and convolutions by the wider type of their factors: how many, and their multiply-adds.

    count: lines of the program; multiply_adds: of one run of it, a loop's body as often as it goes round.
    Multiplications by the zeros between dilated elements are not counted, those by padding are.
    """

    count: dict[str, int]
    multiply_adds: dict[str, int]

    @property
    def total(self) -> int:
        """Multiply-adds of all types."""
        return sum(self.multiply_adds.values())

    def share(self, dtype: str) -> float:
        """The part of the multiply-adds in that type, in [0, 1]."""
        return self.multiply_adds.get(dtype, 0) / max(self.total, 1)


def instructions(text: str) -> Iterator[Instruction]:
    """All instructions of all computations of an HLO module."""
    known: dict[str, tuple[Shape, ...]] = {}
    within = ""
    for line in text.splitlines():
        opened = _COMPUTATION.match(line)
        if opened:
            within = opened[1]
        match = _INSTRUCTION.match(line)
        if not match:
            continue
        name, made, operation, rest = match.groups()
        known[name] = shapes(made)
        names = re.findall(r"%?([\w.-]+)(?:,|$)", re.sub(r"/\*.*?\*/", "", rest.split(")", 1)[0]))
        yield Instruction(known[name], operation, tuple(known[n][0] for n in names if known.get(n)), line, within)


def repetitions(found: Sequence[Instruction]) -> dict[str, int]:
    """How often each computation runs in one run of the module: a loop's body as often as the loop goes round.

    Loops count from zero to a constant, as those of lax.scan and lax.map do. Of alternatives each counts.
    """
    callers: dict[str, list[tuple[str, int]]] = {}
    for each in found:
        trips = _trips(each, found) if each.operation == "while" else 1
        branches = _BRANCHES.search(each.line)
        names = _CALLED.findall(each.line) + re.findall(r"[\w.-]+", branches[1] if branches else "")
        for name in names:
            callers.setdefault(name, []).append((each.within, trips))

    @cache
    def times(name: str) -> int:
        return sum(times(caller) * trips for caller, trips in callers[name]) if name in callers else 1

    return {each.within: times(each.within) for each in found}


def _trips(loop: Instruction, found: Sequence[Instruction]) -> int:
    known = _TRIPS.search(loop.line)
    if known:
        return int(known[1])
    condition = re.search(r"condition=%?([\w.-]+)", loop.line)
    assert condition, f"a loop without condition: {loop.line}"
    lines = [each.line for each in found if each.within == condition[1] and each.operation == "constant"]
    return max((int(n) for line in lines for n in re.findall(r"s32\[\]\S* constant\((\d+)\)", line)), default=1)


def shapes(text: str) -> tuple[Shape, ...]:
    """The arrays of a type: 'f32[2,3]{1,0}', or a tuple of such."""
    return tuple(Shape(dtype, _numbers(sizes)) for dtype, sizes in _TYPE.findall(text))


def products(text: str, without: Sequence[str] = ()) -> Products:
    """Matrix products and convolutions of a module, cuDNN's and cuBLAS's calls too, in one run of it.

    without: named scopes whose own are left out.
    """
    found, lines = Products({}, {}), list(instructions(text))
    times = repetitions(lines)
    for each in lines:
        if not _multiplies(each) or any(_within(each, scope) for scope in without):
            continue
        kinds = [operand.dtype for operand in each.operands[:2]]
        kind = "f32" if "f32" in kinds else kinds[0]
        work = _convolution(each) if "dim_labels=" in each.line else _product(each)
        found.count[kind] = found.count.get(kind, 0) + 1
        found.multiply_adds[kind] = found.multiply_adds.get(kind, 0) + work * times[each.within]
    return found


def exact(text: str, scope: str) -> tuple[int, int]:
    """Of the products within a named scope, those in full float32 and those in fewer bits."""
    full, fewer = 0, 0
    for each in instructions(text):
        if not _multiplies(each) or not _within(each, scope):
            continue
        in_float32 = all(operand.dtype == "f32" for operand in each.operands[:2])
        if in_float32 and any(words in each.line for words in _HIGHEST):
            full += 1
        else:
            fewer += 1
    return full, fewer


def stray(text: str, scope: str) -> list[str]:
    """The names of the products that are neither within the named scope nor a network's: no layer's name, which begin
    with a capital, leads to them."""
    names = []
    for each in instructions(text):
        if _multiplies(each) and not _within(each, scope):
            name = re.search(r'op_name="([^"]*)"', each.line)
            if name is None or not re.search(r"\b[A-Z]\w*", name[1]):
                names.append(name[1] if name else "?")
    return names


def _within(each: Instruction, scope: str) -> bool:
    """Whether it stands in a named scope, or is a gradient of what does."""
    name = re.search(r'op_name="([^"]*)"', each.line)
    return name is not None and scope in re.findall(r"[\w-]+", name[1])


def _multiplies(each: Instruction) -> bool:
    """Whether it is a matrix product or a convolution, one of cuDNN's or cuBLAS's calls too."""
    if each.operation not in ("dot", "convolution") and _CUDNN not in each.line and "__cublas$" not in each.line:
        return False
    return not (each.operation == "custom-call" and len(each.operands) < 2) and each.operation != "get-tuple-element"


def _product(each: Instruction) -> int:
    contracted = re.search(r'lhs_contracting_dim(?:s=\{|ensions":\[)([\d,"]*)', each.line)
    dims = _numbers(contracted.group(1).replace('"', "")) if contracted else ()
    return prod(each.made[0].sizes) * prod(each.operands[0].sizes[d] for d in dims)


def _convolution(each: Instruction) -> int:
    """Every output times the kernel's elements that lead to it, less the zeros of a dilated input."""
    labels = re.search(r"dim_labels=\w+_(\w+)->", each.line)
    assert labels, f"a convolution without dim_labels: {each.line}"
    output, kernel = each.made[0].sizes, each.operands[1].sizes
    if "__cudnn$convBackwardInput" in each.line:
        output = each.operands[0].sizes
    if "__cudnn$convBackwardFilter" in each.line:
        output, kernel = each.operands[1].sizes, each.made[0].sizes
    dilation = re.search(r"lhs_dilate=([\dx]+)", each.line)
    zeros = prod(int(d) for d in dilation.group(1).split("x")) if dilation else 1
    return prod(output) * prod(kernel) // kernel[labels.group(1).index("o")] // zeros


def collectives(text: str) -> dict[str, int]:
    """How many operations of each kind move data between devices; those that start and end later count once."""
    names = [each.operation.removesuffix("-start") for each in instructions(text)]
    return {name: names.count(name) for name in _COLLECTIVES if name in names}


def host_calls(text: str) -> int:
    """Operations that hand data to the host or wait for it: infeed, outfeed, host transfers, Python callbacks."""
    count = 0
    for each in instructions(text):
        moves = each.operation in ("infeed", "outfeed")
        sends = each.operation in ("send", "recv") and "is_host_transfer=true" in each.line
        calls = each.operation == "custom-call" and "callback" in each.line.split("metadata=")[0]
        count += moves or sends or calls
    return count


def aliased(text: str) -> set[int]:
    """Numbers of the parameters whose memory an output takes over."""
    header = text.split("\n", 1)[0]
    return {int(number) for number in re.findall(r"\}: \((\d+), \{[\d, ]*\}, (?:may|must)-alias\)", header)}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)
