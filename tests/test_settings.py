from dataclasses import fields
from pathlib import Path

import pytest

from settings import load_settings
from trading.errors import CannotStart
from trading.health import Thresholds

SHIPPED = Path(__file__).parents[1] / "settings.toml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_starts_on_loopback_with_the_simulated_exchange() -> None:
    settings = load_settings(SHIPPED)

    assert settings.run.exchange == "simulated"
    assert settings.server.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1\n", r"\[server\] prot: no such setting"),
        ("[sever]\nport = 1\n", r"\[sever\]: no such setting"),
        ("[server]\nport = 0\n", r"\[server\] port"),
        ('[server]\nhost = "0.0.0.0"\n', "needs a password"),
        ('[server]\npassword = "x"\n', "VIGIL_SERVER__PASSWORD"),
        ('[upstox]\ntoken = "x"\n', "VIGIL_UPSTOX__TOKEN"),
        ("[server\n", "cannot be read"),
        ('[run]\nexchange = "binance"\n', r"\[run\] exchange"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CannotStart, match=words):
        load_settings(write(tmp_path, text))


def test_a_missing_file_is_not_taken_for_all_defaults(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="missing"):
        load_settings(tmp_path / "settings.toml")


def test_the_environment_overrides_one_field_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIL_SERVER__PORT", "8099")
    monkeypatch.setenv("VIGIL_UPSTOX__TOKEN", "secret-token")
    settings = load_settings(write(tmp_path, "[server]\nopen_browser = true\n"))

    assert (settings.server.port, settings.server.open_browser) == (8099, True)
    assert "secret-token" not in repr(settings)


def test_a_misspelt_section_in_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIL_SEVER__PORT", "8099")

    with pytest.raises(CannotStart, match="VIGIL_SEVER__PORT"):
        load_settings(write(tmp_path, ""))


def test_the_limits_of_the_watch_are_its_own_until_somebody_sets_them(tmp_path: Path) -> None:
    told = load_settings(write(tmp_path, "[watch]\nflaps = 9\n")).watch
    shipped = load_settings(SHIPPED).watch

    for limit in fields(Thresholds):
        own = getattr(Thresholds(), limit.name)
        assert getattr(shipped, limit.name) == own, limit.name
        assert getattr(told, limit.name) == (9 if limit.name == "flaps" else own), limit.name
