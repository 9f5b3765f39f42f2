"""Guards the settings page: it says what the code declares."""

from __future__ import annotations

from scripts import settings_docs


def test_settings_page_is_what_the_code_declares() -> None:
    assert settings_docs.PAGE.read_text(encoding="utf-8") == settings_docs.render(), (
        "docs/settings.md is not up to date; type `make docs`"
    )
