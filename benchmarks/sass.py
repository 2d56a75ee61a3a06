"""Machine code of CUDA kernels as counts: instructions by class, and how many cycles a warp alone waits for their results.

Read from ``cuobjdump -sass``.  A basic block's latency is the longest chain of its register dependencies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

# class -> opcodes, by their first part
CLASSES = {
    "fp64": ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX"),
    "fp32": ("FADD", "FMUL", "FFMA", "FSETP", "FMNMX", "FSEL", "FCHK", "FSET", "FSWZADD", "FMNMX3", "FADD2", "FMUL2", "FFMA2"),
    "mufu": ("MUFU",),
    "shared": ("LDS", "STS", "ATOMS"),
    "shuffle": ("SHFL",),
    "global": ("LDG", "STG", "ATOMG", "RED", "LD", "ST", "ATOM"),
    "local": ("LDL", "STL"),
    "barrier": ("BAR", "WARPSYNC", "VOTE", "VOTEU", "REDUX", "MATCH"),
    "control": ("BRA", "BSSY", "BSYNC", "EXIT", "CALL", "RET", "BRX", "JMP", "BREAK", "NOP", "YIELD", "BMOV", "KILL", "WARPSYNC", "NANOSLEEP"),
}
CLASS_OF = {opcode: name for name, opcodes in CLASSES.items() for opcode in opcodes}
FLOATING = ("fp64", "fp32", "mufu")

# Cycles from issue to a dependent instruction, the same to within 20 % on sm_80 and sm_90: Luo et al., "Benchmarking and Dissecting the Nvidia
# Hopper GPU Architecture via Microbenchmarking" (2024); Sun et al. for MUFU, SHFL (2022).
LATENCY = {"fp64": 8, "fp32": 4, "mufu": 23, "shared": 29, "shuffle": 24, "global": 500, "local": 40, "barrier": 12, "control": 8, "integer": 5}


class Instruction(NamedTuple):
    address: int
    opcode: str
    operands: str
    predicated: bool

    @property
    def name(self) -> str:
        return self.opcode.split(".")[0]

    @property
    def kind(self) -> str:
        """The class, ``integer`` for all else: addresses, moves, selections, uniform registers."""
        return CLASS_OF.get(self.name, "integer")

    @property
    def words(self) -> int:
        """32-bit words per thread that a memory instruction moves."""
        return 4 if ".128" in self.opcode else 2 if ".64" in self.opcode else 1


class Block(NamedTuple):
    """A basic block: entered at its first instruction only, left after its last; ``depth`` loops are around it."""

    instructions: Sequence[Instruction]
    depth: int
    rare: bool  # calls a subroutine, or stands in one: the slow paths of divisions and square roots


LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")


def parse(text: str) -> dict[tuple[str, str], list[Instruction]]:
    """``cuobjdump -sass`` -> (mangled kernel, architecture) -> its instructions."""
    kernels: dict[tuple[str, str], list[Instruction]] = {}
    arch, current = "", []
    for line in text.split("\n"):
        if match := re.match(r"\s*code for (sm_\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            current = kernels.setdefault((match[1], arch), [])
        elif match := LINE.search(line):
            current.append(Instruction(int(match[1], 16), match[3], match[4].strip(), match[2] is not None))
    return kernels


def target(instruction: Instruction) -> int | None:
    """Where a branch goes."""
    if instruction.name not in ("BRA", "CALL", "JMP"):
        return None
    found = re.findall(r"0x([0-9a-f]+)", instruction.operands)
    return int(found[-1], 16) if found else None


def blocks(code: Sequence[Instruction]) -> list[Block]:
    """Basic blocks with the number of loops around each: a loop is what lies between a backward branch and its target."""
    places = {i.address for i in code}
    leaders, loops, subroutines = {code[0].address}, {}, []
    last_exit = max((i.address for i in code if i.name == "EXIT"), default=0)
    for position, instruction in enumerate(code):
        goal = target(instruction)
        if goal in places and goal != instruction.address:
            leaders.add(goal)
            if instruction.name == "CALL":
                subroutines += [goal] if goal > last_exit else []  # a call to what follows is how warps part on sm_80
            elif goal < instruction.address:
                loops[goal] = max(loops.get(goal, 0), instruction.address)
        if instruction.name in ("BRA", "JMP", "EXIT", "RET", "BRX", "CALL") and position + 1 < len(code):
            leaders.add(code[position + 1].address)
    found: list[list[Instruction]] = []
    for instruction in code:
        if instruction.address in leaders:
            found.append([])
        found[-1].append(instruction)
    first_subroutine = min(subroutines, default=code[-1].address + 1)
    result = []
    for group in found:
        depth = sum(start <= group[0].address <= end for start, end in loops.items())
        rare = group[0].address >= first_subroutine or any(i.name == "CALL" and target(i) in subroutines for i in group)
        result.append(Block(group, depth, rare))
    return result


def registers(operand: str, wide: bool) -> list[str]:
    """Registers that an operand names: a 64-bit one names two."""
    names = []
    for match in re.finditer(r"\b(U?R)(\d+)(\.64)?\b", operand):
        names.append(match[1] + match[2])
        if wide or match[3]:
            names.append(match[1] + str(int(match[2]) + 1))
    return names + re.findall(r"\bU?P\d\b", operand)


def critical_path(code: Sequence[Instruction]) -> int:
    """Cycles until the last result of a block, each instruction issued when its operands are there, at most one a cycle."""
    ready: dict[str, int] = {}
    clock = finished = 0
    for instruction in code:
        kind = instruction.kind
        wide = kind == "fp64" or ".WIDE" in instruction.opcode or (kind in ("shared", "global") and instruction.words > 1)
        operands = instruction.operands.split(", ")
        writes = not (instruction.name.startswith("ST") or kind in ("control", "barrier"))
        outputs = (2 if re.match(r"U?PT?\d?$", operands[0]) else 1) if writes else 0  # a predicate goes before another result
        results = registers(", ".join(operands[:outputs]), wide)
        sources = registers(", ".join(operands[outputs:]), wide)
        clock = max([clock + 1, *(ready.get(name, 0) for name in sources)])
        done = clock + LATENCY[kind]
        for name in results:
            ready[name] = done
        finished = max(finished, clock + 1, done if results and kind != "global" else 0)
    return finished


class Profile(NamedTuple):
    """What stands for the instructions that a kernel executes: counts by class, shared-memory words, and the latency of all in turn."""

    counts: dict[str, int]
    shared_words: int
    latency: int

    @property
    def instructions(self) -> int:
        return sum(self.counts.values())

    @property
    def floating(self) -> int:
        return sum(self.counts.get(name, 0) for name in FLOATING)


def profile(code: Sequence[Instruction]) -> Profile:
    """Of the innermost half of a kernel: blocks at least as deep in loops as half of its floating-point instructions are.

    Outside stand loads, stores and what happens once per matrix; global memory has its own part of the model, so it is not counted.
    """
    all_blocks = [block for block in blocks(code) if not block.rare]
    weight: Counter[int] = Counter()
    for block in all_blocks:
        weight[block.depth] += sum(i.kind in FLOATING for i in block.instructions)
    total, deep = sum(weight.values()), 0
    for depth in sorted(weight, reverse=True):
        deep += weight[depth]
        if 2 * deep >= total:
            break
    chosen = [block for block in all_blocks if block.depth >= depth]
    counts: Counter[str] = Counter(i.kind for block in chosen for i in block.instructions if i.kind != "global" and i.name != "NOP")
    words = sum(i.words for block in chosen for i in block.instructions if i.kind == "shared")
    return Profile(dict(counts), words, sum(critical_path([i for i in block.instructions if i.kind != "global"]) for block in chosen))
