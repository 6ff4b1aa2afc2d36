"""What an operator's owner may set about admission and webhooks, and which mistakes are refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from api.v1.rules.settings import AdmissionSettings, ImageVersion, Profile
from controller.configfile import BadSettings
from controller.settings import Settings, load
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
