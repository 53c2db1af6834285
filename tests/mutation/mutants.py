"""Every small change to a file of the matcher that the operators can make."""

import ast
from collections.abc import Iterable, Iterator
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


class Mutant(NamedTuple):
    """function: in which the change is, with the file's name before it. line, becomes: without their indentation."""

    path: Path
    function: str
    number: int
    line: str
    becomes: str
    source: str


class DropStatement(Operator):  # type: ignore[misc]  # comes without types
    """Leaves out a statement of a function."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and parso.tree.search_ancestor(node, "funcdef"):
            statement = node.children[0]
            if statement.type not in {"string", "pass_stmt", "keyword"}:  # docstrings; break and continue are replaced
                yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = parso.python.tree.Name("pass", node.children[0].start_pos, node.children[0].get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class SwapWord(Operator):  # type: ignore[misc]
    """The least for the greatest, one side for the other."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type in {"name", "string"} and node.value in WORDS and node.get_previous_leaf().value != ".":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return type(node)(WORDS[node.value], node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def operators() -> list[Operator]:
    names = [f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS]
    names += [f"ReplaceBinaryOperator_{pair}" for pair in ARITHMETIC]
    found: list[Operator] = [get_operator(f"core/{name}")() for name in (*names, *OTHERS)]
    return [*found, DropStatement(), SwapWord()]


def mutants_of(path: Path) -> list[Mutant]:
    """One for each different outcome, by line."""
    source = path.read_text()
    functions = _functions(source)
    found: dict[str, Mutant] = {}
    for mutated in _mutated(source):
        pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
        number, line, becomes = next((n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b)
        function = f"{path.stem}.{functions.get(number, '')}"
        found[mutated] = Mutant(path, function, number, line.strip(), becomes.strip(), mutated)
    return sorted(found.values(), key=lambda mutant: mutant.number)


def _mutated(source: str) -> Iterable[str]:
    for operator in operators():
        occurrence = 0
        while (mutated := mutate_code(source, operator, occurrence)) is not None:
            occurrence += 1
            if mutated != source:
                yield mutated


def _functions(source: str) -> dict[int, str]:
    """By number of line, its function."""
    return {
        number: node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        for number in range(min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno + 1)
        if node.end_lineno
    }
