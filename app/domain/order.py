"""Orders: which event reports one, and what can't be its id."""

ORDER_COMPLETED = "order_completed"
ORDER_ID = "order_id"  # the property

# What senders write who have no id, or no currency.
NOTHING = frozenset(("", "null", "undefined", "none", "nan", "(not set)"))


def is_nothing(text: str) -> bool:
    return text.strip().lower() in NOTHING
