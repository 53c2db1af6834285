"""From counts to conversion and drop-off, with all numbers written out."""

from app.domain.funnel import StepResult, step_results


def test_conversion_and_drop_off_of_a_funnel() -> None:
    """Ten entered: 4 stopped at the first step (1 may still go on), 4 at the second, 2 converted."""
    assert step_results(stopped=[4, 4, 2], in_progress=[1, 0, 0]) == [
        StepResult(
            reached_count=10,
            conversion_ratio=1.0,
            step_conversion_ratio=1.0,
            drop_off_count=4,
            lost_count=3,
            in_progress_count=1,
            drop_off_ratio=3 / 9,
        ),
        StepResult(
            reached_count=6,
            conversion_ratio=0.6,
            step_conversion_ratio=0.6,
            drop_off_count=4,
            lost_count=4,
            in_progress_count=0,
            drop_off_ratio=4 / 6,
        ),
        StepResult(
            reached_count=2,
            conversion_ratio=0.2,
            step_conversion_ratio=2 / 6,
            drop_off_count=None,
            lost_count=None,
            in_progress_count=None,
            drop_off_ratio=None,
        ),
    ]


def test_nobody_entered_gives_zeros_and_no_ratios() -> None:
    first, last = step_results(stopped=[0, 0], in_progress=[0, 0])
    assert first == StepResult(0, None, None, 0, 0, 0, None)
    assert last == StepResult(0, None, None, None, None, None, None)


def test_a_step_that_nobody_reached_converts_nobody_and_its_successor_has_no_ratio() -> None:
    _, second, third = step_results(stopped=[5, 0, 0], in_progress=[0, 0, 0])
    assert second == StepResult(0, 0.0, 0.0, 0, 0, 0, None)
    assert third == StepResult(0, 0.0, None, None, None, None, None)


def test_while_everybody_could_still_go_on_nobody_is_lost_and_there_is_no_ratio() -> None:
    assert step_results(stopped=[3, 0], in_progress=[3, 0])[0] == StepResult(3, 1.0, 1.0, 3, 0, 3, None)


def test_a_single_step_has_no_drop_off() -> None:
    assert step_results(stopped=[3], in_progress=[0]) == [StepResult(3, 1.0, 1.0, None, None, None, None)]
