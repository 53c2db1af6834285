"""What is told of a device and a campaign, by what browsers send."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.context import Campaign, Channel, Device, DeviceType, Sender
from app.domain.event import Event
from app.ingest.context.campaign import campaign_of, hosts_of
from app.ingest.context.country import country_code
from app.ingest.context.device import device_of
from app.ingest.context.language import language_of
from app.ingest.formats.base import Decoded
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from tests.events import NOW, stored_event

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
SAFARI = "Safari/605.1.15"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) {APPLE} Version/18.3 Mobile/15E148 Safari/604.1"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT}"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "device_type", "browser", "system"),
    [
        (WINDOWS, "desktop", "Chrome", "Windows"),
        (f"{WINDOWS} Edg/140.0.0.0", "desktop", "Edge", "Windows"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) {APPLE} Version/18.3 {SAFARI}", "desktop", "Safari", "macOS"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "desktop", "Firefox", "Linux"),
        (IPHONE, "mobile", "Safari", "iOS"),
        (IPHONE.replace("Version/18.3", "CriOS/140.0.0.0"), "mobile", "Chrome", "iOS"),
        (f"{ANDROID} Chrome/140.0.0.0 Mobile Safari/537.36", "mobile", "Chrome", "Android"),
        (f"{ANDROID} Chrome/140.0.0.0 Safari/537.36", "tablet", "Chrome", "Android"),
        ("Mozilla/5.0 (Android 14; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0", "tablet", "Firefox", "Android"),
        (f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {APPLE} Version/12.1.2 {SAFARI}", "tablet", "Safari", "iOS"),
        (f"Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) {WEBKIT} 94.0/7.0 TV Safari/537.36", "tv", "Safari", "Tizen"),
        (f"Mozilla/5.0 (Web0S; Linux/SmartTV) {WEBKIT} Chrome/94.0.4606.128 Safari/537.36", "tv", "Chrome", "webOS"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot", "Googlebot", None),
        (ANDROID.replace("; K)", "; CUBOT 9)") + " Chrome/126.0 Mobile Safari/537.36", "mobile", "Chrome", "Android"),
        ("analytics-node-next/latest", "other", None, None),
        ("\0\ud800 '; DROP TABLE event; --", "other", None, None),
    ],
)  # fmt: skip
def test_devices(user_agent: str, device_type: str, browser: str | None, system: str | None) -> None:
    assert device_of(Sender(user_agent)) == Device(DeviceType(device_type), browser, system)


def test_no_name_is_taken_from_a_user_agent_as_it_stands() -> None:
    found = device_of(Sender("<script>alert(1)</script>Bot/1.0 =cmd()"))

    assert found is not None
    assert "<" not in f"{found.browser}{found.os}"


def test_of_nothing_nothing_is_told() -> None:
    assert device_of(Sender()) is None
    assert device_of(Sender("", "*", "XX")) is None


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.3, fr-CH;q=0.9", "fr"),
        ("zh_Hans", "zh"),
        ("EN", "en"),
        ("*", None),
        ("", None),
        ("i-klingon", None),
        ("en;q=high", "en"),
        ("<b>", None),
    ],
)
def test_the_language_is_the_most_wanted_one(said: str, language: str | None) -> None:
    assert language_of(said) == language


@pytest.mark.parametrize(
    ("said", "country"),
    [
        ("at", "AT"),
        (" DE ", "DE"),
        ("XX", None),
        ("T1", None),
        ("Germany", None),
        ("", None),
        (None, None),
        ("é1", None),
    ],
)
def test_a_country_is_two_letters(said: str | None, country: str | None) -> None:
    assert country_code(said) == country


GOOGLE, FACEBOOK, BLOG = "https://www.google.com/", "https://l.facebook.com/", "https://blog.example/best-hats"


@pytest.mark.parametrize(
    ("query", "referrer", "channel"),
    [
        # By the page before.
        ("", GOOGLE, "organic_search"),
        ("", "https://de.search.yahoo.com/", "organic_search"),
        ("", "android-app://com.google.android.googlequicksearchbox/", "organic_search"),
        ("", FACEBOOK, "organic_social"),
        ("", "https://t.co/abc", "organic_social"),
        ("", "https://mail.google.com/", "email"),
        ("", "https://accounts.google.com/", "referral"),
        ("", BLOG, "referral"),
        # By the mark that an ad leaves in the address.
        ("gclid=1", GOOGLE, "paid_search"),
        ("gbraid=1", None, "paid_search"),
        ("msclkid=1", "https://www.bing.com/", "paid_search"),
        ("ttclid=1", None, "paid_social"),
        ("dclid=1", BLOG, "display"),
        ("awc=1", BLOG, "affiliate"),
        ("fbclid=1", FACEBOOK, "organic_social"),
        ("gclid=", None, None),
        # By what the shop wrote into its links, which counts most.
        ("utm_source=newsletter&utm_medium=email&gclid=1", GOOGLE, "email"),
        ("utm_source=newsletter", None, "email"),
        ("mtm_source=newsletter&mtm_medium=email", GOOGLE, "email"),
        ("utm_source=google&utm_medium=cpc", None, "paid_search"),
        ("utm_source=facebook&utm_medium=cpc", None, "paid_social"),
        ("utm_source=x&utm_medium=paid_social", None, "paid_social"),
        ("fbclid=1&utm_medium=paid", FACEBOOK, "paid_social"),
        ("utm_source=partner&utm_medium=cpc", None, "paid_search"),
        ("utm_source=partner&utm_medium=cpm", None, "display"),
        ("utm_source=partner&utm_medium=paid", None, "other"),
        ("utm_source=awin&utm_medium=affiliate", None, "affiliate"),
        ("utm_source=instagram&utm_medium=social", None, "organic_social"),
        ("utm_source=Instagram", None, "organic_social"),
        ("utm_source=google&utm_medium=organic", None, "organic_search"),
        ("utm_source=google&gclid=1", None, "paid_search"),
        ("utm_source=blog&utm_medium=referral", None, "referral"),
        ("utm_medium=SMS", None, "sms"),
        ("utm_source=flyer&utm_medium=qr", BLOG, "other"),
        ("utm_campaign=spring", BLOG, "referral"),
        ("utm_campaign=spring", None, "other"),
        # Nothing brought anybody.
        ("", None, None),
        ("colour=red", "https://shop.example/", None),
        ("", "https://www.shop.example:8443/", None),
        ("", "https://pay.example/", None),
        ("", "no address", None),
        ("", "http://[::1", None),
    ],
)
def test_channels(query: str, referrer: str | None, channel: str | None) -> None:
    own = hosts_of(frozenset({"https://pay.example"}))
    found = campaign_of(f"https://shop.example/hats?{query}", referrer, own)

    assert (found and found.channel.value) == channel


def test_a_campaign_says_what_the_address_says() -> None:
    url = (
        "https://shop.example/?utm_source=News&utm_medium=email&utm_campaign=May%20sale&utm_term=red+hat"
        "&utm_content=top&fbclid=2&gclid=1"
    )

    assert campaign_of(url, None, frozenset()) == Campaign(
        Channel.EMAIL, "News", "email", "May sale", "red hat", "top", "gclid"
    )


def test_links_made_for_matomo_say_the_same_in_its_words() -> None:
    url = "https://shop.example/?mtm_source=News&pk_medium=email&MTM_campaign=May&pk_kwd=hat&mtm_content=top&pk_vid=ana"

    assert campaign_of(url, None, frozenset()) == Campaign(Channel.EMAIL, "News", "email", "May", "hat", "top")


def test_a_parameter_is_cut_and_holds_nothing_that_can_not_be_shown() -> None:
    found = campaign_of(
        f"https://shop.example/?utm_source=a%00b%0Ac&utm_term={'x' * 300}&utm_content=%FF", None, frozenset()
    )

    assert found is not None
    assert (found.utm_source, found.utm_term, found.utm_content) == ("abc", "x" * 100, "\ufffd")


HEADERS = Sender(IPHONE, "de-AT", "AT")


def described(event: Event, sender: Sender | None = None) -> Event:
    run_pipeline(Decoded([event], [0], list), NOW, STEPS, sender=sender)
    assert event.sender is None
    return event


def test_headers_speak_for_a_browser() -> None:
    assert described(stored_event(), HEADERS).device == Device(DeviceType.MOBILE, "Safari", "iOS", "de", "AT")


def test_an_event_speaks_first_and_headers_for_the_rest() -> None:
    event = stored_event()
    event.sender = Sender(IPHONE, "fr")

    assert described(event, HEADERS).device == Device(DeviceType.MOBILE, "Safari", "iOS", "fr", "AT")


def test_headers_say_nothing_of_whom_somebody_sends_on_behalf_of() -> None:
    event = stored_event()
    event.sender = Sender(WINDOWS)

    assert described(event, HEADERS).device == Device(DeviceType.DESKTOP, "Chrome", "Windows")


def test_without_headers_and_context_there_is_no_device() -> None:
    assert described(stored_event()).device is None


def test_an_email_address_in_a_campaign_is_taken_out_of_it_too() -> None:
    event = stored_event()
    event.url = "https://shop.example/?utm_source=ana%40shop.example"

    assert described(event).campaign == Campaign(Channel.OTHER, "[email]")


def test_a_campaign_that_a_client_tells_counts_where_the_address_has_none() -> None:
    told = {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "spring"}
    campaign = Campaign(Channel.EMAIL, "newsletter", "email", "spring")
    assert described(stored_event(properties=told)).campaign == campaign

    event = stored_event(properties=told)
    event.url = "https://shop.example/?utm_source=google&utm_medium=cpc"
    assert described(event).campaign == Campaign(Channel.PAID_SEARCH, "google", "cpc")


def test_what_happened_in_a_shop_stays_offline() -> None:
    event = stored_event()
    event.campaign, event.url = Campaign(Channel.OFFLINE), "https://shop.example/?gclid=1"

    assert described(event).campaign == Campaign(Channel.OFFLINE)


texts = st.text() | st.builds(
    "{}//{}?{}#{}".format,
    st.sampled_from(["https:", "", "a:"]),
    st.text(),
    st.from_regex("(utm_source|gclid)=.*"),
    st.text(),
)


@settings(max_examples=150)
@given(texts, texts, texts, st.builds(Sender, st.text() | st.none(), st.text() | st.none(), st.text() | st.none()))
def test_whatever_is_sent_is_described_or_left_alone(url: str, referrer: str, text: str, sender: Sender) -> None:
    event = stored_event(properties={"url": text, "nested": [{"text": text}]})
    event.url, event.referrer, event.sender = url, referrer, sender

    described(event)

    for value in (*(event.device or ()), *(event.campaign or ())):
        assert value is None or (value.isprintable() and 0 < len(value) <= 100)
