"""The gates of the operator on a local cluster: nobody is there to open one, so each whose feature is there is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.gates import DEFAULT_GATES

__all__ = ["LOCAL_GATES", "OPENED"]

OPENED: Final = ("RayCronJob",)  # by a flag: the default is that of the reference
LOCAL_GATES: Final[Mapping[str, bool]] = {**DEFAULT_GATES, **dict.fromkeys(OPENED, True)}
