"""An object as stories read it: `job.status.reason`, `pod.spec.node_name`; what is absent is None."""

from __future__ import annotations

from typing import Any

from localcluster.testing.factories import camel

__all__ = ["View"]


class View(dict[str, Any]):
    """A dictionary whose members are attributes too, in snake case."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(camel(name), self.get(name))
        if value is None and name in ("spec", "metadata"):
            return View()
        if value is None and name == "status" and "metadata" in self:
            return View()
        return _viewed(value)

    @property
    def name(self) -> str:
        """metadata.name, or the member of that name."""
        return str(self["metadata"]["name"] if "metadata" in self else self.get("name", ""))

    @property
    def uid(self) -> str:
        """metadata.uid, or the member of that name."""
        return str(self["metadata"]["uid"] if "metadata" in self else self.get("uid", ""))

    def condition(self, type_: str) -> View:
        """The condition of that type in status, or an empty View, whose status is None."""
        for one in (self.get("status") or {}).get("conditions") or ():
            if one["type"] == type_:
                return View(one)
        return View()


def _viewed(value: Any) -> Any:
    if isinstance(value, dict):
        return View(value)
    if isinstance(value, list):
        return [_viewed(one) for one in value]
    return value
