"""Lists of chains on their way: in order of position, searched by time and by position, followed back."""

import numpy as np
import pytest

from app.match.nodes import Nodes, append, first_from, first_since, goes_first, new_nodes, write_chain

TIMES = np.array([0, 10, 20, 20, 30, 40])


def listed(*chains: tuple[int, int]) -> Nodes:
    """In list 1, each with its last position and its entry."""
    nodes = new_nodes(2, 8)
    for position, entry in chains:
        append(nodes, 1, position, entry, 0, 0)
    return nodes


def test_a_chain_knows_the_first_of_the_chains_before_it_with_its_entry() -> None:
    nodes = listed((1, 0), (2, 0), (3, 1), (4, 1), (5, 1))
    assert nodes.length.tolist() == [0, 5]
    assert nodes.position[1, :5].tolist() == [1, 2, 3, 4, 5]
    assert nodes.entry[1, :5].tolist() == [0, 0, 1, 1, 1]
    assert nodes.same_entry[1, :5].tolist() == [0, 0, 2, 2, 2]


def test_a_list_that_begins_anew_knows_nothing_of_what_was_in_it() -> None:
    nodes = listed(*((position, 0) for position in range(7)), (7, 5))
    nodes.length[:] = 0
    append(nodes, 1, 8, 5, 0, 0)
    assert nodes.same_entry[1, 0] == 0


@pytest.mark.parametrize(
    ("since_us", "index"), [(-1, 0), (0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 4), (30, 4), (40, 5), (41, 6)]
)
def test_the_first_chain_since_a_time_includes_that_time(since_us: int, index: int) -> None:
    nodes = listed(*((position, 0) for position in range(6)))
    assert first_since(nodes, 1, 0, 6, since_us, TIMES) == index
    assert first_since(nodes, 1, 3, 6, since_us, TIMES) == max(index, 3)
    assert first_since(nodes, 1, 0, 4, since_us, TIMES) == min(index, 4)


@pytest.mark.parametrize(("position", "index"), [(-1, 0), (0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (9, 4), (10, 5)])
def test_the_first_chain_from_a_position_includes_that_position(position: int, index: int) -> None:
    nodes = listed((0, 0), (2, 0), (3, 0), (4, 0), (9, 0))
    assert first_from(nodes, 1, 0, 5, position) == index
    assert first_from(nodes, 1, 2, 5, position) == max(index, 2)
    assert first_from(nodes, 1, 0, 3, position) == min(index, 3)


def test_a_chain_is_written_by_step_with_gaps_for_what_it_skipped() -> None:
    """Two lists per step: chains may move from one to the other."""
    nodes = new_nodes(10, 2)
    append(nodes, 1, 11, 11, -1, -1)
    append(nodes, 1, 12, 12, -1, -1)
    append(nodes, 3, 13, 12, 1, 1)
    append(nodes, 8, 16, 12, 3, 0)
    chain = np.full(6, 99)
    write_chain(nodes, 2, 8, 0, chain)
    assert chain.tolist() == [12, 13, -1, -1, 16, 99]


def test_an_entry_is_a_chain_of_one() -> None:
    nodes = new_nodes(1, 1)
    append(nodes, 0, 7, 7, -1, -1)
    chain = np.full(2, 99)
    write_chain(nodes, 1, 0, 0, chain)
    assert chain.tolist() == [7, 99]


def test_of_two_chains_the_one_goes_first_that_did_the_later_step_and_did_it_earlier() -> None:
    """Two lists per step, an entry at 10 and chains that came to the third step, one of which skipped the second."""
    nodes = new_nodes(6, 4)
    append(nodes, 0, 10, 10, -1, -1)
    append(nodes, 2, 11, 10, 0, 0)
    append(nodes, 3, 12, 10, 0, 0)
    for to, position, before in ((4, 20, 0), (4, 20, 3), (4, 21, 2), (5, 20, 2)):
        append(nodes, to, position, 10, before, 0)
    skipped, second_at_12, later, second_at_11 = (4, 0), (4, 1), (4, 2), (5, 0)
    order = [second_at_11, second_at_12, skipped, later]
    for place, chain in enumerate(order):
        assert [goes_first(nodes, 2, *chain, *other) for other in order] == [other > place for other in range(4)]


def test_no_chain_is_not_written() -> None:
    chain = np.full(2, 99)
    write_chain(new_nodes(1, 1), 1, -1, -1, chain)
    assert chain.tolist() == [99, 99]
