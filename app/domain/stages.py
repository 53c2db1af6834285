"""Stages of the customer journey: which events mean which stage (semantics, section 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.funnel import Alternative, Condition, Operator, Step


@dataclass(slots=True, frozen=True)
class StageRule:
    """Events of this name mean the stage, if all conditions hold and, with `after`, only once the same person
    reached that stage; an order that is reported again does not count again."""

    event_name: str
    where: tuple[Condition, ...] = ()
    after: str | None = None


@dataclass(slots=True, frozen=True)
class Stage:
    name: str
    rules: tuple[StageRule, ...]


def _events(*names: str, after: str | None = None) -> tuple[StageRule, ...]:
    return tuple(StageRule(name, after=after) for name in names)


# An NPS answer is `survey_answered` with `survey_type` "nps" and a `score` from 0 to 10; promoters answer 9 or 10.
_PROMOTER = (Condition("survey_type", Operator.EQUAL, "nps"), Condition("score", Operator.IN, (9, 10)))

DEFAULT_STAGES: tuple[Stage, ...] = (
    Stage("awareness", _events("page_viewed", "session_started", "ad_clicked", "email_opened")),
    Stage(
        "consideration",
        _events(
            "product_list_viewed",
            "product_viewed",
            "product_searched",
            "product_compared",
            "product_reviews_viewed",
            "product_added_to_wishlist",
        ),
    ),
    Stage(
        "decision",
        _events(
            "product_added",
            "cart_viewed",
            "checkout_started",
            "coupon_applied",
            "shipping_info_added",
            "payment_info_added",
        ),
    ),
    Stage("purchase", _events("order_completed")),
    Stage("retention", _events("order_completed", "subscription_renewed", "loyalty_joined", after="purchase")),
    Stage(
        "advocacy",
        (
            *_events("product_reviewed", "product_shared", "referral_sent"),
            StageRule("survey_answered", where=_PROMOTER),
        ),
    ),
)


# Stages that may come after one another: enough for "again after buying", and few enough to be quick.
AFTER_MAX = 2


def stage_alternatives(
    stages: Sequence[Stage], stage_name: str, where: tuple[Condition, ...] = ()
) -> tuple[Alternative, ...]:
    """What a stage means in terms of events; `where` is added to each of its rules.

    Raises KeyError for a stage that the storefront does not have, ValueError when more than AFTER_MAX stages come
    after one another.
    """
    by_name = {stage.name: stage for stage in stages}
    known: dict[str, tuple[Alternative, ...]] = {"": ()}

    def required(name: str, depth: int) -> tuple[Alternative, ...]:
        if depth > AFTER_MAX:
            raise ValueError(f"more than {AFTER_MAX} stages come after one another, or one after itself: {name!r}")
        if name not in known:
            known[name] = alternatives(name, (), depth)
        return known[name]

    def alternatives(name: str, extra: tuple[Condition, ...], depth: int) -> tuple[Alternative, ...]:
        return tuple(
            Alternative(rule.event_name, rule.where + extra, required(rule.after or "", depth + bool(rule.after)))
            for rule in by_name[name].rules
        )

    return alternatives(stage_name, where, 0)


def stage_steps(stages: Sequence[Stage]) -> tuple[Step, ...]:
    """The storefront's stage funnel: one step per stage, in order."""
    return tuple(Step(stage_alternatives(stages, stage.name), label=stage.name) for stage in stages)
