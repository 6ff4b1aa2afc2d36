"""What an operator's owner may set about admission and webhooks, and which mistakes are refused with a sentence."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.settings import AdmissionSettings, ImageVersion, Profile
from controller.admission import account_of, context_of
from controller.configfile import BadSettings
from controller.main import servers
from controller.process import placed
from controller.runtime.client.config import ServerConfig
from controller.settings import Settings, load
from manta.lint import Wanted, target_of
from webhooks.settings import WebhookSettings


@pytest.fixture
def settings_of(tmp_path: Path) -> Any:
    def load_it(admission: Any) -> Settings:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump({"admission": admission}))
        return load(["-config", str(file)], {})

    return load_it


def test_a_file_that_says_nothing_of_admission_leaves_its_defaults() -> None:
    assert load([], {}).admission == AdmissionSettings()


@pytest.mark.spec("admission:P3", "admission:P4")
def test_every_setting_has_a_key(settings_of: Any) -> None:
    settings = settings_of(
        {
            "profile": "strict",
            "rules": {"M11": "warn"},
            "skipsAllowed": False,
            "trustedUsers": ["system:admin"],
            "imageVersions": {"registry/own:1": {"ray": "2.52.0", "python": "3.10"}},
            "mostPods": 100,
            "defaultHeadNumGpusZero": True,
        }
    )

    admission = settings.admission
    assert admission.profile is Profile.STRICT
    assert admission.rules == {"M11": "warn"}
    assert not admission.skips_allowed
    assert admission.trusted_users == ("system:admin",)
    assert admission.image_versions == {"registry/own:1": ImageVersion("2.52.0", "3.10")}
    assert (admission.most_pods, admission.default_head_num_gpus) == (100, True)


def test_off_needs_no_quotes_in_yaml(settings_of: Any) -> None:
    assert settings_of({"rules": {"M11": False}}).admission.rules == {"M11": "off"}


def test_labels_and_tolerations_that_are_filled_in_are_read_as_they_are(settings_of: Any) -> None:
    """D10 and D11."""
    tolerations = {"nvidia.com/gpu": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}

    admission = settings_of({"defaultLabels": {"team": "ml"}, "acceleratorTolerations": tolerations}).admission

    assert admission.default_labels == {"team": "ml"}
    assert admission.accelerator_tolerations == tolerations


@pytest.mark.parametrize(
    ("admission", "said"),
    [
        ({"profil": "strict"}, r"admission\.profil in the -config file is not known; did you mean profile\?"),
        ({"zzz": 1}, "known are .*profile"),
        ({"profile": "lax"}, "must be one of compat, standard, strict, not 'lax'"),
        ({"rules": {"M99": "warn"}}, r"admission\.rules\.M99 .*is not known"),
        ({"rules": {"M11": "shout"}}, "must be one of deny, warn, off, not 'shout'"),
        ({"rules": ["M11"]}, "must be a mapping"),
        ({"trustedUsers": "me"}, "must be a list of strings"),
        ({"skipsAllowed": "no"}, "must be true or false"),
        ({"mostPods": True}, "must be a whole number"),
        ({"lowestRay": 2.9}, "must be a string"),
        ({"imageVersions": {"a": {"ray": 2.5}}}, "put it in quotes"),
        ({"imageVersions": {"a": {"python": "3.10"}}}, "needs ray"),
        ({"imageVersions": {"a": {"rya": "2.5"}}}, "did you mean ray"),
        ({"defaultLabels": {"cost": 7}}, "must be a string"),
        ({"defaultLabels": ["team"]}, "must be a mapping"),
        ({"acceleratorTolerations": {"nvidia.com/gpu": {"key": "a"}}}, "must be a list of tolerations"),
        (["strict"], "admission in the -config file must be a mapping"),
    ],
)
def test_a_mistake_is_a_sentence(settings_of: Any, admission: Any, said: str) -> None:
    """The rest of the file may hold unknown keys, as with the reference; here one would be a rule silently not set."""
    with pytest.raises(BadSettings, match=said):
        settings_of(admission)


@pytest.mark.spec("deployment:1.5/enable-webhooks")
@pytest.mark.parametrize("value", ["", "True", "1", "TRUE", "false", None])
def test_webhooks_are_on_only_when_the_variable_is_exactly_true(value: str | None) -> None:
    assert load([], {} if value is None else {"ENABLE_WEBHOOKS": value}).webhooks is None
    assert load([], {"ENABLE_WEBHOOKS": "true"}).webhooks == WebhookSettings()


@pytest.mark.spec("deployment:1.8/9443-webhook-server")
def test_the_port_and_the_folder_of_the_certificates_are_the_reference_s() -> None:
    webhooks = WebhookSettings()

    assert webhooks.address == ("", 9443)
    assert webhooks.folder == "/tmp/k8s-webhook-server/serving-certs"


def test_webhooks_are_set_by_flags_also_beside_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("watchNamespace: a,b")

    arguments = ["-webhook-bind-address=[::1]:1234", "-webhook-certificates=files", "-webhook-url=https://h:1"]
    settings = load(["-config", str(file), *arguments], {"ENABLE_WEBHOOKS": "true", "CLUSTER_DOMAIN": "corp"})

    assert settings.notices == ()
    assert settings.webhooks is not None
    assert settings.webhooks.address == ("::1", 1234)
    assert (settings.webhooks.certificates, settings.webhooks.url) == ("files", "https://h:1")
    assert (settings.webhooks.namespaces, settings.webhooks.cluster_domain) == (("a", "b"), "corp")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("-webhook-bind-address=9443x", "must be .host.:port"),
        ("-webhook-bind-address=:99999", "must be .host.:port"),
        ("-webhook-certificates=some", "must be one of auto, files, self-managed"),
        ("-webhook-url=http://h:1", "must be https://host:port"),
        ("-webhook-url=https://h:1/path", "must be https://host:port"),
    ],
)
def test_webhooks_that_cannot_be_served_are_refused(argument: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        load([argument], {"ENABLE_WEBHOOKS": "true"})


def a_token(subject: object) -> str:
    """As a service account's: three parts, the middle one JSON."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


ACCOUNT = "system:serviceaccount:ray-system:kuberay-operator"


def test_who_we_are_is_read_from_our_own_token() -> None:
    assert account_of(a_token(ACCOUNT)) == ACCOUNT
    for other in ("", "abc", "a.b", "a.!.c", f"e30.{base64.urlsafe_b64encode(b'[]').decode()}.x", a_token(3)):
        assert account_of(other) == ""


def test_certificates_are_kept_in_our_namespace_and_our_own_requests_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster the pod's own; elsewhere that of the lease, or the kubeconfig's."""
    settings = load(["-leader-election-namespace=lease"], {"ENABLE_WEBHOOKS": "true"})
    config = ServerConfig("https://h", namespace="pod", token=a_token(ACCOUNT))
    (tmp_path / "token").write_text(a_token("somebody") + "\n")

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    outside = placed(settings, replace(config, token="", token_file=tmp_path / "token")).webhooks
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    inside = placed(settings, config).webhooks

    assert outside is not None
    assert inside is not None
    assert (outside.namespace, outside.account) == ("lease", "somebody")
    assert (inside.namespace, inside.account) == ("pod", ACCOUNT)
    assert placed(load([], {}), config) == load([], {})


def test_rules_are_told_what_they_may_know_of_this_operator() -> None:
    settings = load(
        ["-feature-gates=RayCronJob=true"],
        {"ENABLE_ZERO_DOWNTIME": "false", "CLUSTER_DOMAIN": "corp", "ENABLE_INIT_CONTAINER_INJECTION": "false"},
    )
    options = replace(settings.options, head_sidecars=({"name": "logs"}, {"image": "nameless"}))

    context = context_of(options, AdmissionSettings(profile=Profile.COMPAT))

    assert context.gate("RayCronJob")
    assert not context.zero_downtime
    assert context.admission.profile is Profile.COMPAT
    assert context.surroundings.cluster_domain == "corp"
    assert context.surroundings.head_sidecars == ("logs",)
    assert not context.surroundings.injects_init_container


# What no rule asks for need not be carried to them.
@pytest.mark.parametrize("name", sorted(DEFAULT_GATES.keys() - {"KubernetesWAS"}))
@pytest.mark.parametrize("on", [True, False])
def test_rules_know_every_gate_as_the_flag_has_it_in_the_operator_and_in_lint(name: str, on: bool) -> None:
    flag = f"{name}={str(on).lower()}"

    of_operator = context_of(load([f"-feature-gates={flag}"], {}).options, AdmissionSettings())
    of_lint = target_of(Wanted(gates=flag)).operator

    assert of_operator.gate(name) is of_lint.gate(name) is on
    assert all(of_operator.gate(one) is on for one, on in of_lint.gates.items() if one != "KubernetesWAS")


def test_an_operator_without_webhooks_serves_none() -> None:
    assert servers(load([], {})) == ()
    assert len(servers(load([], {"ENABLE_WEBHOOKS": "true"}))) == 1


def test_the_page_s_example_is_a_file_that_is_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "operator.md").read_text()
    example = page.partition("```yaml\nadmission:\n")[2].partition("```")[0]
    file = tmp_path / "config.yaml"
    file.write_text(f"admission:\n{example}")

    admission = load(["-config", str(file)], {}).admission

    assert admission.rules == {"RV02": "warn"}
    assert admission.image_versions.keys() == {"registry.example.com/own:1"}
