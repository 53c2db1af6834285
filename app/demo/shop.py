"""The demo's storefront and keys: made once, remembered in demo.json beside the data."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from app.demo.server import run_footfall

NAME = "Demo shop (synthetic data)"


@dataclass(frozen=True)
class DemoShop:
    storefront_id: int
    write_key: str
    server_key: str
    read_key: str
    end: datetime  # of the synthetic week; fixed before feeding, so that a repeat sends the same events
    fed: bool = False


def shop_path(data_dir: Path) -> Path:
    return data_dir / "demo.json"


def load_shop(data_dir: Path) -> DemoShop | None:
    try:
        fields = json.loads(shop_path(data_dir).read_text())
    except FileNotFoundError:
        return None
    return DemoShop(**fields | {"end": datetime.fromisoformat(fields["end"])})


def create_shop(data_dir: Path) -> DemoShop:
    """Makes storefront and keys through the command line, and writes them down."""
    place = ("--time-zone", "Europe/Berlin", "--currency", "EUR")
    # It is there already when an earlier start was interrupted before its keys were written down.
    known = [shop for shop in run_footfall("storefront", "list", data_dir=data_dir) if shop["name"] == NAME]
    storefront = known[0] if known else run_footfall("storefront", "create", NAME, *place, data_dir=data_dir)
    storefront_id = int(storefront["storefront_id"])
    shop = DemoShop(
        storefront_id,
        write_key=_create_key(storefront_id, "write", data_dir),
        server_key=_create_key(storefront_id, "server", data_dir),
        read_key=_create_key(storefront_id, "read", data_dir),
        end=datetime.now(UTC).replace(microsecond=0),
    )
    _save(shop, data_dir)
    return shop


def _create_key(storefront_id: int, kind: str, data_dir: Path) -> str:
    answer = run_footfall("keys", "create", str(storefront_id), "--kind", kind, data_dir=data_dir)
    return str(answer["key"])


def mark_fed(shop: DemoShop, data_dir: Path) -> None:
    _save(replace(shop, fed=True), data_dir)


def _save(shop: DemoShop, data_dir: Path) -> None:
    """Replaces the file in one move. It holds secret keys: only its owner may read it."""
    draft = shop_path(data_dir).with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(0o600, exist_ok=False)
    draft.write_text(json.dumps(asdict(shop) | {"end": shop.end.isoformat()}, indent=2))
    draft.replace(shop_path(data_dir))
