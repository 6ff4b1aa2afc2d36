"""The tree keeps its habits (style.md, import names)."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("package", ["api", "controller", "webhooks", "manta", "localcluster"])
def test_no_other_distribution_brings_our_top_level_names(package: str) -> None:
    """Our import names are generic: a clash would be silent."""
    assert set(packages_distributions().get(package, ["manta-operator"])) == {"manta-operator"}


def test_test_folders_are_no_packages() -> None:
    """The standard library owns the name `test`."""
    assert not list((ROOT / "test").rglob("__init__.py"))
