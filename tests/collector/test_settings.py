"""Settings that can never work are refused by name, and no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from radar_audit_collector.settings import PREFIX, CollectorSettings, load_settings
from radar_audit_runtime.settings import SettingsError, describe

NEEDED = {"HUB_URL": "https://hub.example.com", "TOKEN": "rhc_secret"}
WEBHOOK = {
    "WEBHOOK_ENABLED": "true",
    "WEBHOOK_CERT_FILE": "/tls/tls.crt",
    "WEBHOOK_KEY_FILE": "/tls/tls.key",
    "WEBHOOK_TOKEN": "sesame-secret",
}


def loaded(**changes: str) -> CollectorSettings:
    given = {**NEEDED, **changes}
    return load_settings({f"{PREFIX}{name}": value for name, value in given.items() if value})


def test_two_settings_are_enough() -> None:
    settings = loaded()
    assert settings.sources == ()
    assert settings.spool_max_bytes == 256 * 1024 * 1024
    assert settings.spool_dir == Path("data/collector/spool")
    assert settings.classify_rules("org_learnt").org_id == "org_learnt"
    assert settings.resolved_collector_id()


def test_org_that_is_set_wins_over_the_learnt_one() -> None:
    assert loaded(ORG_ID="org_set").classify_rules("org_learnt").org_id == "org_set"


@pytest.mark.parametrize(
    "changes, variable",
    [
        ({"HUB_URL": "hub.example.com"}, "HUB_URL"),
        ({"HUB_URL": "ftp://hub.example.com"}, "HUB_URL"),
        ({"HUB_URL": "https://:443"}, "HUB_URL"),
        ({"HUB_URL": "https://hub:99999"}, "HUB_URL"),
        ({"HUB_URL": "https://me:secret@hub"}, "HUB_URL"),
        ({"HUB_URL": "https://hub/?token=secret"}, "HUB_URL"),
        ({"TOKEN": "rhc_secret and more"}, "TOKEN"),
        ({"TOKEN": "rhc_secret\r\nX: y"}, "TOKEN"),
        ({"COLLECTOR_ID": "a b"}, "COLLECTOR_ID"),
        ({"COLLECTOR_ID": "x" * 64}, "COLLECTOR_ID"),
        ({"ORG_ID": "acme"}, "ORG_ID"),
        ({"RADAR_SERVICE_ACCOUNT": "radar"}, "RADAR_SERVICE_ACCOUNT"),
        ({"SPOOL_MAX_BYTES": "1000"}, "SPOOL_MAX_BYTES"),
        ({"BATCH_EVENTS": "1001"}, "BATCH_EVENTS"),
        ({"IDENTITY": "somebody"}, "IDENTITY"),
        ({"PROBES_LISTEN": "9281"}, "PROBES_LISTEN"),
        ({**WEBHOOK, "WEBHOOK_LISTEN": "0.0.0.0"}, "WEBHOOK_LISTEN"),
        ({**WEBHOOK, "WEBHOOK_KEY_FILE": ""}, "WEBHOOK_KEY_FILE"),
        ({**WEBHOOK, "WEBHOOK_CERT_FILE": "", "WEBHOOK_KEY_FILE": ""}, "WEBHOOK_CERT_FILE"),
        ({**WEBHOOK, "WEBHOOK_TOKEN": ""}, "WEBHOOK_TOKEN"),
        ({"WEBHOOK_ENABLED": "true", "WEBHOOK_INSECURE_LOOPBACK": "true"}, "WEBHOOK_LISTEN"),
        ({"HUB_URI": "https://hub.example.com"}, "HUB_URI"),
    ],
)
def test_setting_that_cannot_work_is_named_and_no_secret_shown(
    changes: dict[str, str], variable: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(**changes)
    text = str(refused.value)
    assert f"{PREFIX}{variable}" in text
    assert "secret" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_webhook_without_tls_is_allowed_on_loopback_only_by_a_setting(host: str) -> None:
    settings = loaded(
        WEBHOOK_ENABLED="true", WEBHOOK_LISTEN=f"{host}:0", WEBHOOK_INSECURE_LOOPBACK="true"
    )
    assert settings.sources == ("webhook",)
    with pytest.raises(SettingsError, match="WEBHOOK_CERT_FILE"):
        loaded(WEBHOOK_ENABLED="true", WEBHOOK_LISTEN=f"{host}:0")


def test_webhook_takes_a_client_ca_in_place_of_a_token() -> None:
    settings = loaded(**{**WEBHOOK, "WEBHOOK_TOKEN": "", "WEBHOOK_CLIENT_CA_FILE": "/tls/ca.crt"})
    assert settings.webhook_token is None


def test_secrets_are_in_no_repr() -> None:
    shown = repr(loaded(**WEBHOOK))
    assert "rhc_secret" not in shown
    assert "sesame-secret" not in shown


def test_gateway_has_its_settings_under_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('gateway_listen = "127.0.0.1:7443"\n')
    given = {f"{PREFIX}{name}": value for name, value in NEEDED.items()}
    settings = load_settings({**given, f"{PREFIX}GATEWAY_ENABLED": "true"}, file)
    assert settings.gateway.listen == "127.0.0.1:7443"
    assert settings.sources == ("gateway",)
    with pytest.raises(SettingsError, match="the gateway listens on loopback only"):
        loaded(GATEWAY_LISTEN="0.0.0.0:7443")
    with pytest.raises(SettingsError, match="GATEWAY_LISTENS is not a setting"):
        loaded(GATEWAY_LISTENS="127.0.0.1:7443")


def test_gateway_alone_leaves_the_other_sources_out() -> None:
    settings = loaded(**WEBHOOK, LOGFILE_PATH="/var/log/audit.log").with_gateway_only()
    assert settings.sources == ("gateway",)


@pytest.mark.parametrize(
    "url, is_in_clear",
    [
        ("https://hub.example.com", False),
        ("http://hub.example.com", True),
        ("http://10.0.0.7:8080", True),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
        ("http://localhost:8080", False),
    ],
)
def test_plain_http_to_another_machine_is_noticed(url: str, is_in_clear: bool) -> None:
    assert loaded(HUB_URL=url).is_hub_in_clear is is_in_clear


def test_every_setting_says_what_it_is_for() -> None:
    rows = describe(CollectorSettings, PREFIX)
    assert all(row.help.endswith(".") for row in rows)
    assert {row.variable for row in rows if row.secret} == {
        f"{PREFIX}TOKEN",
        f"{PREFIX}WEBHOOK_TOKEN",
    }
