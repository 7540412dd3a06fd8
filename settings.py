"""settings.toml and the environment, checked before anything starts; secrets only from outside."""

import ipaddress
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from trading.errors import CannotStart
from trading.health import Thresholds

PREFIX = "VIGIL_"
LIMITS = Thresholds()
SECRETS = {
    ("upstox", "token"),
    ("server", "password"),
    ("telegram", "token"),
    ("email", "password"),
    ("webhook", "secret"),
}


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Run(Section):
    exchange: Literal["simulated", "upstox"] = "simulated"
    execution: Literal["broker", "paper"] = "broker"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    first_watchlist: tuple[str, ...] = ("NSE_INDEX|Nifty 50", "NSE_INDEX|Nifty Bank")


class Server(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    open_browser: bool = False
    allowed_hosts: tuple[str, ...] = ()
    password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _guarded(self) -> "Server":
        if not is_loopback(self.host) and not self.password.get_secret_value():
            raise ValueError(
                f"host {self.host} can be reached from outside this machine and needs a password: "
                f"set {PREFIX}SERVER__PASSWORD, or use host = '127.0.0.1'"
            )
        return self


class Storage(Section):
    directory: Path = Path("data")
    keep_ticks_days: int = Field(7, ge=1)
    keep_candles_days: int = Field(400, ge=1)
    queue_rows: int = Field(200_000, ge=1_000, le=5_000_000)


class Feed(Section):
    stall_seconds: float = Field(15.0, gt=0)
    ping_seconds: float = Field(15.0, gt=0)
    ping_timeout: float = Field(10.0, gt=0)
    handshake_seconds: float = Field(10.0, gt=0)
    snapshot_seconds: float = Field(5.0, gt=0)
    backoff_open: float = Field(30.0, gt=0)
    backoff_closed: float = Field(300.0, gt=0)
    contested_seconds: float = Field(60.0, gt=0)


class Simulator(Section):
    port: int = Field(0, ge=0, le=65535)
    seed: int = 7
    instruments: int = Field(500, ge=10, le=5_000)
    rate: float = Field(400.0, gt=0, le=50_000)
    start: str = ""
    speed: float = Field(1.0, gt=0, le=3_600)
    replay: tuple[Path, ...] = ()
    chain: Path | Literal[""] = ""
    opening: bool = True


class Upstox(Section):
    base_url: str = "https://api.upstox.com"
    assets_url: str = "https://assets.upstox.com"
    order_url: str = "https://api-hft.upstox.com"
    token: SecretStr = SecretStr("")


class AccountSettings(Section):
    id: str = Field("main", pattern=r"^[a-z0-9][a-z0-9-]{0,19}$")
    name: str = Field("Main", min_length=1, max_length=40)
    primary: bool = False
    token_file: Path = Path("token")


class Orders(Section):
    per_second: int = Field(8, ge=1, le=10)
    value_limit: float = Field(5_000_000.0, ge=0)
    collar_percent: float = Field(30.0, ge=0)
    read_working_seconds: float = Field(10.0, gt=0)
    read_open_seconds: float = Field(30.0, gt=0)
    doubt_first_seconds: float = Field(2.0, gt=0)
    doubt_every_seconds: float = Field(5.0, gt=0)
    settle_seconds: float = Field(10.0, gt=0)
    webhook: bool = False


class Paper(Section):
    cash: float = Field(1_000_000.0, gt=0)
    prices: Literal["websocket", "polling"] = "websocket"
    fallback: bool = True
    square_off_minutes: int = Field(15, ge=1, le=120)


class Watch(Section):
    """When the watch finds something; words and defaults are those of `Thresholds`."""

    every_seconds: float = Field(1.0, gt=0, le=60)
    recovery_seconds: float = Field(30.0, gt=0)
    feed_silent: float = Field(LIMITS.feed_silent, gt=0)
    position_stale: float = Field(LIMITS.position_stale, gt=0)
    position_blind: float = Field(LIMITS.position_blind, gt=0)
    uptime_percent: float = Field(LIMITS.uptime_percent, ge=0, le=100)
    message_rate: float = Field(LIMITS.message_rate, ge=0, le=1)
    error_percent: float = Field(LIMITS.error_percent, ge=0, le=100)
    decode_errors: int = Field(LIMITS.decode_errors, ge=1)
    storage_lag: float = Field(LIMITS.storage_lag, gt=0)
    disk_free_mb: int = Field(LIMITS.disk_free_mb, ge=0)
    order_unanswered: float = Field(LIMITS.order_unanswered, gt=0)
    skew_warning: float = Field(LIMITS.skew_warning, gt=0)
    skew_critical: float = Field(LIMITS.skew_critical, gt=0)
    loop_lag_ms: float = Field(LIMITS.loop_lag_ms, gt=0)
    token_minutes: int = Field(LIMITS.token_minutes, ge=0)
    undelivered: float = Field(LIMITS.undelivered, gt=0)
    checks_to_down: int = Field(LIMITS.checks_to_down, ge=1)
    seconds_to_down: float = Field(LIMITS.seconds_to_down, gt=0)
    checks_to_ok: int = Field(LIMITS.checks_to_ok, ge=1)
    flaps: int = Field(LIMITS.flaps, ge=2)
    flap_window: float = Field(LIMITS.flap_window, gt=0)
    steady: float = Field(LIMITS.steady, gt=0)
    pnl_levels: tuple[float, ...] = ()
    heartbeat_url: str = ""


class Quiet(Section):
    hours: str = Field("22:00-07:00", pattern=r"^(\d\d:\d\d-\d\d:\d\d)?$")
    holidays: bool = True
    storm: int = Field(20, ge=1)


class Telegram(Section):
    token: SecretStr = SecretStr("")
    api_url: str = "https://api.telegram.org"
    owners: tuple[int, ...] = ()
    watchers: tuple[int, ...] = ()
    commands: bool = False


class Email(Section):
    host: str = ""
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str = ""
    to: tuple[str, ...] = ()
    least: Literal["info", "warning", "critical"] = "warning"


class Webhook(Section):
    url: str = ""
    secret: SecretStr = SecretStr("")
    private: bool = False
    least: Literal["info", "warning", "critical"] = "info"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    run: Run = Run()
    server: Server = Server()
    storage: Storage = Storage()
    feed: Feed = Feed()
    simulator: Simulator = Simulator()
    upstox: Upstox = Upstox()
    accounts: tuple[AccountSettings, ...] = (AccountSettings(primary=True),)
    orders: Orders = Orders()
    paper: Paper = Paper()
    watch: Watch = Watch()
    quiet: Quiet = Quiet()
    telegram: Telegram = Telegram()
    email: Email = Email()
    webhook: Webhook = Webhook()

    @model_validator(mode="after")
    def _accounts_are_told_apart(self) -> "Settings":
        if len({account.id for account in self.accounts}) < len(self.accounts):
            raise ValueError("accounts: two accounts have the same id")
        if sum(account.primary for account in self.accounts) != 1:
            raise ValueError("accounts: exactly one must have primary = true, it feeds the prices")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load_settings(path: Path) -> Settings:
    """Read the file, then the environment over it; raise CannotStart naming every wrong key."""
    if not path.is_file():  # else pydantic-settings would silently use all defaults
        raise CannotStart(f"settings file {path} is missing: restore it from the repository")
    _refuse_unknown_variables()
    try:
        data = TomlConfigSettingsSource(Settings, path)()
        _refuse_secrets(path, data)
        return Settings(**data)
    except ValidationError as error:
        raise CannotStart(f"settings: {_in_words(error)}") from None
    except ValueError as error:  # not TOML
        raise CannotStart(f"settings file {path} cannot be read: {error}") from None


def _refuse_unknown_variables() -> None:
    """A misspelt section in the environment is otherwise ignored without a word."""
    for name in os.environ:
        if name.startswith(PREFIX):
            section = name.removeprefix(PREFIX).partition("__")[0].lower()
            if section not in Settings.model_fields:
                known = ", ".join(Settings.model_fields)
                raise CannotStart(f"environment variable {name}: no such section (known: {known})")


def _refuse_secrets(path: Path, data: dict[str, Any]) -> None:
    for section, key in SECRETS:
        if key in data.get(section, {}):
            variable = f"{PREFIX}{section.upper()}__{key.upper()}"
            raise CannotStart(
                f"{path}: [{section}] {key} is a secret and does not belong into this file; "
                f"give it as {variable}"
            )


def _in_words(error: ValidationError) -> str:
    return "; ".join(
        f"{_place(item['loc'])}: {_cause(item['type'], item['msg'])}"
        for item in error.errors(include_input=False, include_url=False)
    )


def _place(location: tuple[int | str, ...]) -> str:
    section, *keys = (str(part) for part in location)
    return f"[{section}] {'.'.join(keys)}".rstrip()


def _cause(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "no such setting; is it misspelt?"
    return message.removeprefix("Value error, ")
