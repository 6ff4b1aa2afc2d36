"""The programs of `manta up` and `manta run`, as they are started."""

from __future__ import annotations

from pathlib import Path

from controller.settings import load
from localcluster.addresses import shared_machine
from localcluster.inside import Inside, arguments_of
from manta.local import Level, programs


def test_the_operator_registers_its_webhooks_and_is_an_account_of_its_own(tmp_path: Path) -> None:
    """Both programs mean the same account: its kubeconfig is the one that the operator is given."""
    (tmp_path / "token").write_text("token")

    cluster, operator = programs(tmp_path, "scripted", {})

    settings = load(operator.arguments[5:], operator.environment)
    inside = Inside(arguments_of().parse_args(cluster.arguments[3:]))
    assert inside.account == "kube-system/manta-operator"
    assert settings.kubeconfig == str(tmp_path / "operator.kubeconfig")
    assert settings.leader_election_namespace == "kube-system"
    webhooks = settings.webhooks
    assert webhooks is not None
    assert (webhooks.address, webhooks.url) == (("127.0.0.1", 9443), "https://127.0.0.1:9443")
    assert (webhooks.certificates, webhooks.lame_duck_seconds) == ("self-managed", 0)


def test_without_a_cell_everything_listens_on_the_block_of_this_run(tmp_path: Path) -> None:
    """So that two runs do not meet."""
    (tmp_path / "token").write_text("token")

    cluster, operator = programs(tmp_path, "scripted", {}, level=Level(71, 8099, 9444))

    settings = load(operator.arguments[5:], operator.environment)
    inside = Inside(arguments_of().parse_args(cluster.arguments[3:]))
    assert inside.addresses == shared_machine(71)
    assert settings.health_address == "127.71.0.1:8099"
    assert settings.webhooks is not None
    assert (settings.webhooks.address, settings.webhooks.url) == (("127.71.0.1", 9444), "https://127.71.0.1:9444")
