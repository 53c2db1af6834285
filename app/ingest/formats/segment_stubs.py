"""What Segment's and RudderStack's browser clients ask for before they send."""

from collections.abc import Mapping

from app.ingest.formats.base import Reply, Stub


def _settings(parameters: Mapping[str, str]) -> Reply:
    """What analytics.js asks its CDN: send to Segment.io alone, whose host the page sets."""
    segment_io = {
        "apiKey": parameters["key"],
        "unbundledIntegrations": [],
        "addBundledMetadata": True,
        "maybeBundledConfigIds": {},
        "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
    }
    return Reply(
        200,
        {
            "integrations": {"Segment.io": segment_io},
            "plan": {name: {"__default": {"enabled": True}} for name in ("track", "identify", "group")},
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        },
    )


def _source_config(parameters: Mapping[str, str]) -> Reply:
    """What RudderStack's clients ask before they send: no destinations but us, no reports on themselves."""
    del parameters
    off = {"enabled": False}
    source = {
        "id": "footfall",
        "name": "footfall",
        "workspaceId": "footfall",
        "enabled": True,
        "config": {"statsCollection": {"errors": off, "metrics": off}},
        "destinations": [],
    }
    return Reply(200, {"source": source})


def _telemetry(parameters: Mapping[str, str]) -> Reply:
    """What analytics.js measures of itself is not kept."""
    del parameters
    return Reply(200, {"success": True})


STUBS = (
    Stub("/v1/projects/{key}/settings", _settings),
    Stub("/v1/m", _telemetry),
    Stub("/sourceConfig", _source_config),
    Stub("/sourceConfig/", _source_config),
)
