from pathlib import Path

import pytest

from sae.activations.cache import cache_folder


def test_cache_folder_prefers_config_then_variable_then_xdg_then_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAE_SWEEP_CACHE", "/variable")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder("/config") == Path("/config")
    assert cache_folder(None) == Path("/variable")
    monkeypatch.delenv("SAE_SWEEP_CACHE")
    assert cache_folder(None) == Path("/xdg/sae-sweep")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(None) == Path.home() / ".cache" / "sae-sweep"
