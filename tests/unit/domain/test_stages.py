"""What the stages mean in terms of events."""

import pytest

from app.domain.funnel import Alternative, Condition, Operator
from app.domain.stages import DEFAULT_STAGES, Stage, StageRule, stage_alternatives, stage_steps
from tests.journeys import DAY, Happening, at_us, journey
from tests.journeys import funnel as funnel_of
from tests.oracle import funnel_oracle

NPS = {"survey_type": "nps"}


def means(stage_name: str, *happenings: Happening) -> bool:
    """Whether the last of these events means the stage, for a person to whom the others happened before."""
    events = journey("ana", *happenings)
    last = happenings[-1][0]
    definition = funnel_of(stage_alternatives(DEFAULT_STAGES, stage_name), start=last, end=last + 1)
    return bool(funnel_oracle(definition, events, at_us(1000 * DAY)))


def test_the_default_stages_are_the_customer_journey() -> None:
    names = ["awareness", "consideration", "decision", "purchase", "retention", "advocacy"]
    assert [stage.name for stage in DEFAULT_STAGES] == names
    assert [step.label for step in stage_steps(DEFAULT_STAGES)] == names


@pytest.mark.parametrize(
    ("stage_name", "event_names"),
    [
        ("awareness", ["page_viewed", "session_started", "ad_clicked", "email_opened"]),
        ("consideration", ["product_list_viewed", "product_viewed", "product_searched", "product_compared"]),
        ("consideration", ["product_reviews_viewed", "product_added_to_wishlist"]),
        ("decision", ["product_added", "cart_viewed", "checkout_started"]),
        ("decision", ["coupon_applied", "shipping_info_added", "payment_info_added"]),
        ("purchase", ["order_completed"]),
        ("advocacy", ["product_reviewed", "product_shared", "referral_sent"]),
    ],
)
def test_these_events_mean_the_stage_by_themselves(stage_name: str, event_names: list[str]) -> None:
    for event_name in event_names:
        assert means(stage_name, (0, event_name))
        assert not any(means(stage.name, (0, event_name)) for stage in DEFAULT_STAGES if stage.name != stage_name)


@pytest.mark.parametrize("event_name", ["order_completed", "subscription_renewed", "loyalty_joined"])
def test_retention_comes_after_a_purchase(event_name: str) -> None:
    assert means("retention", (0, "order_completed"), (1, event_name))
    assert not means("retention", (0, "product_added"), (1, event_name))


@pytest.mark.parametrize(
    ("properties", "promotes"),
    [
        ({**NPS, "score": 10}, True),
        ({**NPS, "score": 9}, True),
        ({**NPS, "score": "9"}, True),
        ({**NPS, "score": 8}, False),
        ({**NPS, "score": 9.5}, False),
        ({**NPS}, False),
        ({"survey_type": "csat", "score": 10}, False),
        ({"score": 10}, False),
    ],
)
def test_promoters_answer_nine_or_ten(properties: dict[str, object], promotes: bool) -> None:
    assert means("advocacy", (0, "survey_answered", properties)) is promotes


def test_conditions_of_a_step_are_added_to_every_rule_but_not_to_what_came_before() -> None:
    big, cheap = Condition("value", Operator.GREATER, 100), Condition("value", Operator.LESS, 5)
    stages = (
        Stage("bought", (StageRule("order_completed", (cheap,)),)),
        Stage("back", (StageRule("order_completed", after="bought"), StageRule("renewed", (cheap,)))),
    )
    assert stage_alternatives(stages, "back", (big,)) == (
        Alternative("order_completed", (big,), after=(Alternative("order_completed", (cheap,)),)),
        Alternative("renewed", (cheap, big)),
    )


def test_a_stage_that_does_not_exist_or_comes_after_itself_is_an_error() -> None:
    circle = (
        Stage("hen", (StageRule("hatched", after="egg"),)),
        Stage("egg", (StageRule("laid", after="hen"),)),
    )
    with pytest.raises(KeyError):
        stage_alternatives(DEFAULT_STAGES, "loyalty")
    with pytest.raises(ValueError, match="one after itself"):
        stage_alternatives(circle, "hen")


def test_at_most_two_stages_come_after_one_another() -> None:
    chain = tuple(Stage(str(n), (StageRule(f"event {n}", after=str(n - 1) if n else None),)) for n in range(4))

    assert stage_alternatives(chain, "2")[0].after[0].after[0].event_name == "event 0"
    with pytest.raises(ValueError, match="more than 2 stages"):
        stage_alternatives(chain, "3")
