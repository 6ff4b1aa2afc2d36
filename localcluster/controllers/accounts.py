"""Each namespace has a ServiceAccount `default` and a ConfigMap `kube-root-ca.crt`, again when they are deleted."""

from __future__ import annotations

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Mirrors
from localcluster.worklist import Worklist

__all__ = ["AccountController"]

ROOT_CA = "kube-root-ca.crt"


class AccountController:
    """Creates what pods of a namespace count on. `certificate` is the API server's CA in PEM; "" without TLS."""

    def __init__(self, api: Api, mirrors: Mirrors, *, certificate: str = "") -> None:
        self._api, self._mirrors, self._certificate = api, mirrors, certificate
        self._work: Worklist[str] = Worklist(self._provide)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._mirrors.synced("serviceaccounts", "configmaps", "namespaces")
        self._mirrors.of("serviceaccounts").subscribe(self._removed)
        self._mirrors.of("configmaps").subscribe(self._removed)
        self._mirrors.of("namespaces").subscribe(self._appeared)
        await self._work.run()

    def _appeared(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self._work.add(new["metadata"]["name"])

    def _removed(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None and old["metadata"]["name"] in ("default", ROOT_CA):
            self._work.add(old["metadata"]["namespace"])

    async def _provide(self, name: str) -> float | None:
        namespace = self._mirrors.of("namespaces").get("", name)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return None
        if self._mirrors.of("serviceaccounts").get(name, "default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
            await self._create("serviceaccounts", account)
        if self._mirrors.of("configmaps").get(name, ROOT_CA) is None:
            why = (
                "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such"
                " as the internal service IP or kubernetes.default.svc."
            )
            await self._create(
                "configmaps",
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": ROOT_CA,
                        "namespace": name,
                        "annotations": {"kubernetes.io/description": why},
                    },
                    "data": {"ca.crt": self._certificate},
                },
            )
        return None

    async def _create(self, resource: str, body: Json) -> None:
        try:
            await self._api.create(resource, body["metadata"]["namespace"], body)
        except Refusal as refusal:
            if refusal.code not in (403, 404, 409):  # it is there, or its namespace is going
                raise
