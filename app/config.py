"""Settings of the service: names, defaults, units and validation. Built once; no other module reads the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENV_PREFIX = "FOOTFALL_"
KEYS_FILE = "keys.json"  # in data_dir: the keys known last, see storage/key_copy.py
WORKER_FOLDER = "worker-"  # in data_dir, with the worker's number
SPOOL_FILE = "spool.sqlite"  # in data_dir: events that wait for Postgres
IMPORT_KEY_VARIABLE = "FOOTFALL_KEY"  # no setting of the service: the key that `footfall import` sends with


class Role(StrEnum):
    """What a service process is for."""

    ALL = "all"
    COLLECT = "collect"
    REPORT = "report"

    @property
    def collects(self) -> bool:
        return self is not Role.REPORT

    @property
    def reports(self) -> bool:
        return self is not Role.COLLECT


class Settings(BaseSettings):
    """Every field is an environment variable with the prefix FOOTFALL_; the README has a row for each."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    database_url: SecretStr | None = None
    data_dir: Path = Path(".footfall")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    role: Role = Role.ALL
    workers: int = Field(1, ge=1, le=64)
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    migrate_on_start: bool = True

    request_max_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    request_max_events: int = Field(1_000, ge=1, le=100_000)
    request_timeout_seconds: float = Field(30.0, gt=0)
    requests_max: int = Field(1_000, ge=1)
    header_timeout_seconds: float = Field(10.0, gt=0)
    connections_max: int = Field(5_000, ge=1)
    key_events_per_second: float = Field(0.0, ge=0)
    address_requests_per_second: float = Field(0.0, ge=0)
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()

    respect_gpc: bool = False
    redact: bool = True
    country_header: str = Field("", pattern="^[A-Za-z0-9-]*$")
    geoip_file: Path | None = None

    buffer_max_events: int = Field(50_000, ge=1)
    buffer_max_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    buffer_max_age_seconds: float = Field(10.0, gt=0)
    # The mirror has 20 bits for an event's place in its commit, and a commit has to end within flush_timeout_seconds.
    flush_max_events: int = Field(2_000, ge=1, le=100_000)
    flush_writers: int = Field(2, ge=1, le=16)
    flush_timeout_seconds: float = Field(10.0, gt=0)
    spool_max_bytes: int = Field(1024**3, ge=0)
    spool_after_seconds: float = Field(2.0, gt=0)
    shutdown_delay_seconds: float = Field(0.0, ge=0)
    shutdown_timeout_seconds: float = Field(20.0, gt=0)

    report_concurrency: int = Field(2, ge=1)
    report_timeout_seconds: float = Field(30.0, gt=0)
    report_results_bytes: int = Field(64 * 1024**2, ge=0)
    report_cache_bytes: int = Field(768 * 1024**2, ge=0)
    published_funnels_max: int = Field(50, ge=0, le=1_000)
    publish_interval_seconds: float = Field(300.0, gt=0)
    mirror_memory_bytes: int = Field(2 * 1024**3, ge=64 * 1024**2)
    mirror_interval_seconds: float = Field(1.0, gt=0)
    mirror_lag_max_seconds: float = Field(60.0, gt=0)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, given: object) -> object:
        """From `10.0.0.0/8, 192.168.1.7`."""
        if not isinstance(given, str):
            return given
        return [_network(part.strip()) for part in given.split(",") if part.strip()]

    @model_validator(mode="after")
    def _workers_collect(self) -> Self:
        if self.workers > 1 and self.role is not Role.COLLECT:
            raise ValueError(
                f"FOOTFALL_WORKERS={self.workers} needs FOOTFALL_ROLE=collect: workers only take events. Run reports "
                "beside them, in a process of their own with FOOTFALL_ROLE=report"
            )
        return self

    @model_validator(mode="after")
    def _limits_fit_together(self) -> Self:
        if self.buffer_max_events < self.request_max_events:
            raise ValueError(
                "FOOTFALL_BUFFER_MAX_EVENTS must be at least FOOTFALL_REQUEST_MAX_EVENTS, or a full request never fits"
            )
        if self.buffer_max_bytes < self.request_max_bytes:
            raise ValueError(
                "FOOTFALL_BUFFER_MAX_BYTES must be at least FOOTFALL_REQUEST_MAX_BYTES, or a full request never fits"
            )
        if 0 < self.spool_max_bytes < self.request_max_bytes:
            raise ValueError("FOOTFALL_SPOOL_MAX_BYTES must be at least FOOTFALL_REQUEST_MAX_BYTES, or 0 for no spool")
        if self.spool_max_bytes and self.spool_after_seconds >= self.flush_timeout_seconds:
            raise ValueError(
                "FOOTFALL_SPOOL_AFTER_SECONDS must be less than FOOTFALL_FLUSH_TIMEOUT_SECONDS, or nothing is spooled"
            )
        if self.country_header and not self.trusted_proxies:
            raise ValueError(
                "FOOTFALL_COUNTRY_HEADER needs FOOTFALL_TRUSTED_PROXIES: only these may say where somebody is"
            )
        if self.geoip_file is not None and not self.geoip_file.is_file():
            raise ValueError(f"FOOTFALL_GEOIP_FILE: there is no file {self.geoip_file}")
        return self


@dataclass(frozen=True)
class Worker:
    """One of several processes that collect side by side. number: from 1. data_dir: of all of them."""

    number: int
    count: int
    data_dir: Path

    @property
    def is_first(self) -> bool:
        """It does what is to be done once for all."""
        return self.number == 1

    @property
    def folder(self) -> Path:
        """What it has for itself: its spool above all."""
        return self.data_dir / f"{WORKER_FOLDER}{self.number}"

    @property
    def socket(self) -> Path:
        """Where the others ask for its metrics."""
        return self.folder / "metrics.sock"

    @property
    def others(self) -> "list[Worker]":
        return [replace(self, number=number) for number in range(1, self.count + 1) if number != self.number]

    def settings(self, settings: Settings) -> Settings:
        """Those of a service process with a data directory of its own, and with its share of the rate limits."""
        changes = {
            "data_dir": self.folder,
            "workers": 1,
            "key_events_per_second": settings.key_events_per_second / self.count,
            "address_requests_per_second": settings.address_requests_per_second / self.count,
        }
        return settings.model_copy(update=changes)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network; write 10.0.0.0/8 or 192.168.1.7") from error


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """FOOTFALL_* variables that no setting has: misspelled ones would be ignored without a word."""
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | {IMPORT_KEY_VARIABLE}
    return sorted(name for name in environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known)
