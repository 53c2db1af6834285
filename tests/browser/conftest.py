"""A browser and a service for all tests of the tracker, and a new storefront for each."""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config import Settings
from app.storage.database import DatabaseUrl
from tests.browser.backend import Backend, Stored, running_backend
from tests.browser.door import Knock, Mode
from tests.conftest import new_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

INSECURE_HOST = "shop.example"  # to browsers localhost is as good as https
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
    # Without the word Headless, by which the service knows machines. A context's own is not used for beacons.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
]
PATIENCE_SECONDS = 15.0


# Not for the session: while Playwright runs, no other test can have an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Skips where `make browser` has not put the means."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make browser")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def backend(
    browser: "Browser", postgres: DatabaseUrl, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    settings = Settings.model_validate({"data_dir": tmp_path_factory.mktemp("browser")})
    with new_database(postgres, template) as url, running_backend(settings, url) as backend:
        yield backend


class Shop:
    """A storefront with pages of its own, and what the service has stored of it."""

    def __init__(self, backend: Backend, context: "BrowserContext") -> None:
        self.context = context
        self.backend = backend
        self.url = backend.shop_url
        self.script_url = f"{backend.service_url}/t.js"
        self.storefront_id, self.write_key = backend.new_storefront(uuid.uuid4().hex)
        self.faults: list[str] = []
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        self.add("/")

    def add(self, path: str, body: str = "", *, tag: str = "", head: str = "", **headers: str) -> None:
        """A page with the script in it. tag: further attributes of its tag. headers: with _ for -."""
        script = f'<script async src="{self.script_url}" data-key="{self.write_key}" {tag}></script>'
        content = f"<!doctype html><html><head><title>Shop</title>{head}{script}</head><body>{body}</body></html>"
        self.backend.pages.contents[path] = (content, {name.replace("_", "-"): headers[name] for name in headers})

    def add_script(self, path: str, content: str) -> None:
        self.backend.pages.contents[path] = (content, {})

    def open(self, path: str = "/") -> "Page":
        """In a tab of its own, with the tracker running."""
        page = self.context.new_page()
        page.goto(self.url + path)
        page.wait_for_function("window.footfall && !window.footfall.q")
        return page

    def close(self, page: "Page") -> None:
        """As its visitor does."""
        with page.expect_event("close"):
            page.close(run_before_unload=True)

    def set_door(self, mode: Mode) -> None:
        self.backend.door.mode = mode

    def knocks(self) -> Sequence[Knock]:
        return [knock for knock in self.backend.door.knocks if knock.key == self.write_key]

    def events(self) -> list[Stored]:
        return self.backend.events(self.storefront_id)

    def names(self) -> list[str]:
        """Of the stored events, in order, without the times on pages."""
        return [event.name for event in self.events() if event.name != "page_engaged"]

    def wait_for(self, *names: str) -> None:
        """Until exactly these are stored, apart from times on pages; or for as long as patience lasts."""
        wait_until(lambda: sorted(self.names()) == sorted(names), lambda: f"{self.names()}, wanted {[*names]}")


def wait_until(is_so: Callable[[], bool], found: Callable[[], object] = lambda: "it never was") -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at, found()
        time.sleep(0.05)


@pytest.fixture
def shop(browser: "Browser", backend: Backend, tmp_path: Path) -> Iterator[Shop]:
    """In a browser that knows nothing yet. No page may have thrown anything."""
    backend.pages.contents.clear()
    backend.door.knocks.clear()
    context = browser.new_context()
    shop = Shop(backend, context)
    yield shop
    backend.door.mode = Mode.OPEN
    backend.door.script_delay_seconds = 0.0
    context.close()
    assert shop.faults == []
