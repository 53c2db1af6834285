"""What names a customer: reports count people, so it is not kept."""

from typing import Any

from app.ingest.formats.foreign import Object

# Of a customer's traits, without case and separators.
PERSONAL_TRAITS = frozenset(
    {
        "address",
        "avatar",
        "birthday",
        "dateofbirth",
        "email",
        "firstname",
        "fullname",
        "lastname",
        "mobile",
        "name",
        "phone",
        "postalcode",
        "street",
        "username",
        "website",
        "zip",
    }
)
PERSONAL = "[personal]"


def without_personal(traits: Object) -> dict[str, Any]:
    """A customer's traits with other values for what names one: that they were sent stays to be seen."""
    return {name: PERSONAL if _bare(name) in PERSONAL_TRAITS else value for name, value in traits.items()}


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
