"""Names of services and pods, from a table in a file (spec ray-side S10-11, S10-24).

Nothing of ours is asked of the machine's name server: a name that ends in .cluster.local and is not in the table does
not exist. Others are searched for as in a pod: in its namespace, then in all, then as they are.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DOMAIN", "Names"]

DOMAIN = "cluster.local"


class Names:
    """Looks names up. The table is read again when it was replaced. `own`: names that this pod alone knows."""

    def __init__(self, table: str, namespace: str = "default", own: Mapping[str, Sequence[str]] | None = None) -> None:
        self._path, self._namespace, self._own = table, namespace, dict(own or {})
        self._seen: tuple[tuple[int, int], dict[str, list[str]]] = (0, 0), {}

    def addresses(self, name: str) -> list[str] | None:
        """All of a name; None for one that is not ours. An empty list: it is ours, and does not exist."""
        plain = name.lower().rstrip(".")
        if plain in self._own:
            return list(self._own[plain])
        if not plain or plain == "localhost" or plain.replace(".", "").isdigit() or ":" in plain:
            return None
        table = self._table()
        for candidate in self._candidates(plain):
            if candidate in table:
                return list(table[candidate])
        return [] if plain.endswith(f".{DOMAIN}") else None

    def first(self, name: str) -> str | None:
        """One address of a name that is ours."""
        found = self.addresses(name)
        return found[0] if found else None

    def _candidates(self, name: str) -> list[str]:
        if name.endswith(f".{DOMAIN}"):
            return [name]
        return [f"{name}.{self._namespace}.svc.{DOMAIN}", f"{name}.svc.{DOMAIN}", f"{name}.{DOMAIN}", name]

    def _table(self) -> dict[str, list[str]]:
        try:
            now = os.stat(self._path)  # noqa: PTH116 - see hook/__init__.py
        except FileNotFoundError:
            return {}  # the cluster is ending, its names with it
        version = now.st_mtime_ns, now.st_ino
        if self._seen[0] != version:
            with open(self._path, encoding="utf-8") as file:  # noqa: PTH123
                self._seen = version, json.load(file)
        return self._seen[1]
