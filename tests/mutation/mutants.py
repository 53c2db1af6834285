"""Every small change to a file of the matcher that the operators can make."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import parso
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

# Of each comparison its bound and its opposite, of each arithmetic operator one other: more would tell us no more.
COMPARISONS = (
    "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt",
)  # fmt: skip
ARITHMETIC = (
    "Add_Sub", "Sub_Add", "Mul_Add", "FloorDiv_Mul", "Pow_Mul", "BitAnd_BitOr", "BitXor_BitAnd",
    "LShift_RShift", "RShift_LShift",
)  # fmt: skip
OTHERS = (
    "AddNot", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert", "ZeroIterationForLoop",
)  # fmt: skip
WORDS = {"min": "max", "max": "min", '"right"': '"left"'}
TOKEN = re.compile(r"\w+|\s+|[^\w\s]+")


class Mutant(NamedTuple):
    """change: in which function, and how its line changes, as `module.function: if a [< → <=] b:`; ends with (2) where
    a second line of the function can change so, and so on."""

    path: Path
    line_number: int
    change: str
    source: str


class DropStatement(Operator):  # type: ignore[misc]  # comes without types
    """Leaves a statement of a function out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and parso.tree.search_ancestor(node, "funcdef"):
            statement = node.children[0]
            if statement.type not in {"string", "keyword"}:  # docstrings; break and continue become each other
                yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        statement = node.children[0]
        prefix = statement.get_first_leaf().prefix
        node.children[0] = parso.python.tree.Name("pass", statement.start_pos, prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class SwapWord(Operator):  # type: ignore[misc]
    """The least for the greatest, one side for the other."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type in {"name", "string"} and node.value in WORDS and node.get_previous_leaf().value != ".":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        return type(node)(WORDS[node.value], node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def mutants_of(path: Path) -> list[Mutant]:
    """One for each different outcome, by line. How a function is compiled (its decorators) is left alone."""
    source = path.read_text()
    functions, decorators = _functions(source)
    found: dict[str, Mutant] = {}
    for mutated in _mutated(source):
        pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
        number, before, after = next((n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b)
        if number not in decorators:
            function = ".".join(filter(None, (path.stem, functions.get(number))))
            found[mutated] = Mutant(path, number, f"{function}: {_change(before.strip(), after.strip())}", mutated)
    return list(_numbered(sorted(found.values(), key=lambda mutant: mutant.line_number)))


def _numbered(mutants: list[Mutant]) -> Iterator[Mutant]:
    seen = Counter[str]()
    for mutant in mutants:
        seen[mutant.change] += 1
        number = seen[mutant.change]
        yield mutant if number == 1 else mutant._replace(change=f"{mutant.change} ({number})")


def _mutated(source: str) -> Iterator[str]:
    names = [f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS]
    names += [f"ReplaceBinaryOperator_{pair}" for pair in ARITHMETIC]
    operators = [get_operator(f"core/{name}")() for name in (*names, *OTHERS)]
    for operator in (*operators, DropStatement(), SwapWord()):
        occurrence = 0
        while (mutated := mutate_code(source, operator, occurrence)) is not None:
            occurrence += 1
            if mutated != source:
                yield mutated


def _functions(source: str) -> tuple[dict[int, str], set[int]]:
    """By number of line, its function; and the lines of decorators."""
    functions: dict[int, str] = {}
    decorators: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            functions.update(dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node.name))
            for each in node.decorator_list:
                decorators.update(range(each.lineno, node.lineno))
    return functions, decorators


def _change(before: str, after: str) -> str:
    if after == "pass":
        return f"[{before} → pass]"
    old, new = TOKEN.findall(before), TOKEN.findall(after)
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    same_at_end = 0
    while same_at_end < min(len(old), len(new)) - same and old[-1 - same_at_end] == new[-1 - same_at_end]:
        same_at_end += 1
    removed, added = ("".join(line[same : len(line) - same_at_end]).strip() for line in (old, new))
    return f"{''.join(old[:same])}[{removed} → {added}]{''.join(old[len(old) - same_at_end :])}"
