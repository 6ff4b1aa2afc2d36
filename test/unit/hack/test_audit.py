"""What the operator did, told from an audit log, beside what it may do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hack.e2e.audit import Request, judge, requests

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACCOUNT = "default:kuberay-operator"


def an_event(verb: str, resource: str, *, group: str = "", account: str = ACCOUNT, **more: Any) -> dict[str, Any]:
    plural, _, below = resource.partition("/")
    target = {"resource": plural} | ({"subresource": below} if below else {}) | ({"apiGroup": group} if group else {})
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": f"system:serviceaccount:{account}"},
        "objectRef": target,
        "requestURI": "/",
        "requestReceivedTimestamp": NOON.isoformat(),
        "responseStatus": {"code": 200},
        "annotations": {"authorization.k8s.io/decision": "allow"},
        **more,
    }


def written(folder: Path, *events: dict[str, Any]) -> list[Request]:
    log = folder / "audit.log"
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    return requests(log, ACCOUNT)


def test_only_the_requests_of_the_account_count_and_a_watch_counts_once(tmp_path: Path) -> None:
    """A watch stands in the log when it begins, and again when it ends."""
    watch = an_event("watch", "pods")

    found = written(
        tmp_path, {**watch, "stage": "ResponseStarted"}, watch, an_event("get", "pods", account="other:somebody")
    )

    assert found == [Request("", "pods", "watch", True, NOON)]


def test_a_right_that_was_used_is_not_told_as_unused(tmp_path: Path) -> None:
    use = judge(written(tmp_path, an_event("patch", "rayclusters/status", group="ray.io")))

    assert (use.refused, use.beyond, use.count) == ((), (), 1)
    unused = {(right.resource, verb) for right, verb in use.unused}
    assert ("rayclusters/status", "patch") not in unused
    assert ("rayclusters/status", "get") in unused


def test_what_stands_in_no_right_is_beyond_even_if_the_server_allowed_it(tmp_path: Path) -> None:
    use = judge(written(tmp_path, an_event("list", "secrets")))

    assert use.beyond == ("list secrets",)


def test_a_refusal_counts_unless_the_operator_was_being_taken_away(tmp_path: Path) -> None:
    """Its rights go before its pod."""
    refused = an_event("get", "leases", annotations={"authorization.k8s.io/decision": "forbid"})
    done = written(tmp_path, refused)

    assert judge(done).refused == ("get leases",)
    assert judge(done, [(NOON - timedelta(seconds=1), NOON + timedelta(seconds=1))]).refused == ()


def test_a_quota_that_is_exceeded_is_no_refusal_of_a_right(tmp_path: Path) -> None:
    """Both are answered 403."""
    use = judge(written(tmp_path, an_event("create", "pods", responseStatus={"code": 403})))

    assert use.refused == ()


def test_whoever_reads_the_report_learns_why_a_right_was_not_used(tmp_path: Path) -> None:
    report = judge(written(tmp_path, an_event("create", "pods"))).report()

    assert report.startswith("1 requests; refused: none; without a right: none\n")
    assert "not used, since the lease stands in the manifests: create leases.coordination.k8s.io" in report
    assert "list pods" in report
    assert "create pods," not in report


def test_what_webhooks_need_is_neither_beyond_nor_missed_where_there_are_none(tmp_path: Path) -> None:
    kind, group = "validatingwebhookconfigurations", "admissionregistration.k8s.io"

    use = judge(written(tmp_path, an_event("patch", kind, group=group)))

    assert use.beyond == ()
    assert not any(right.group == group for right, _ in judge([]).unused)
