"""What PostHog's SDKs ask before they send: a config in which what Footfall has not is off, and no feature flags."""

from collections.abc import Mapping
from typing import Any

import msgspec

from app.ingest.formats.base import Reply, Stub

# Without `surveys`: told anything of them, even that there are none, the browser SDK loads a script for them from here.
CONFIG: dict[str, Any] = {
    "analytics": {"endpoint": "/e/"},
    "autocaptureExceptions": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "conversations": False,
    "defaultIdentifiedOnly": True,
    "elementsChainAsString": True,
    "hasFeatureFlags": False,
    "heatmaps": False,
    "isAuthenticated": False,
    "productTours": False,
    "sessionRecording": False,
    "siteApps": [],
    "supportedCompression": ["gzip", "gzip-js"],
    "toolbarParams": {},
}
# `flags` is what newer clients read, the others what older ones do.
NO_FLAGS: dict[str, Any] = {
    "errorsWhileComputingFlags": False,
    "featureFlagPayloads": {},
    "featureFlags": {},
    "flags": {},
}


def _config(parameters: Mapping[str, str]) -> Reply:
    return Reply(200, {"token": parameters["key"], **CONFIG})


def _config_script(parameters: Mapping[str, str]) -> Reply:
    """The config where the browser SDK looks for it. The key is anybody's text: as JSON it can't become code."""
    key = parameters["key"]
    configs = msgspec.json.encode({key: {"config": {"token": key, **CONFIG}, "siteApps": []}})
    script = b"window._POSTHOG_REMOTE_CONFIG=Object.assign(window._POSTHOG_REMOTE_CONFIG||{},%b);"
    return Reply(200, script % configs.replace(b"<", b"\\u003c"), "application/javascript; charset=utf-8")


def _flags(_: Mapping[str, str]) -> Reply:
    return Reply(200, {**NO_FLAGS, **CONFIG})


STUBS = (
    Stub("/array/{key}/config", _config),
    Stub("/array/{key}/config.js", _config_script),
    *(Stub(path, _flags) for path in ("/flags/", "/flags", "/decide/", "/decide")),
)
