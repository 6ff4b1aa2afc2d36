"""The configuration with which E2E_CLUSTER=kind makes its cluster, read by kind itself, which needs no Docker."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hack.e2e import cluster
from hack.kube.build import find

pytestmark = pytest.mark.e2e
CONFIGURATION = Path(cluster.__file__).with_name("kind.yaml")


def refusal(configuration: Path) -> str:
    """Why kind makes no cluster where there is no Docker: it reads the configuration first."""
    kind = find(["kind"])["kind"]
    done = subprocess.run(
        [kind, "create", "cluster", "--name=never", f"--config={configuration}"],
        env={"PATH": "/nonexistent", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


def test_kind_accepts_our_configuration(tmp_path: Path) -> None:
    """It gets as far as asking for Docker; one with a misspelt field does not."""
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text(CONFIGURATION.read_text().replace("nodes:", "nodez:"))

    assert "failed to get docker info" in refusal(CONFIGURATION)
    assert "field nodez not found" in refusal(misspelt)
