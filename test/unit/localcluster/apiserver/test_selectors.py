"""Selectors: what they select, and the words with which they are refused."""

from __future__ import annotations

import pytest

from localcluster.apiserver.selectors import SelectorError, parse_fields, parse_labels, unknown_field

QUALIFIED = (
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/'"
    " (e.g. 'example.com/MyName')"
)
LABELS = {"g": "x", "i": "3", "example.com/role": "head"}


@pytest.mark.spec("kube-api:SEL-1")
@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("g", True),
        ("h", False),
        ("!g", False),
        ("!h", True),
        ("g=x", True),
        ("g==x", True),
        ("g = x", True),
        ("g=y", False),
        ("g=", False),
        ("g!=y", True),
        ("h!=y", True),
        ("g in (x,y)", True),
        ("g in (y)", False),
        ("g notin (y)", True),
        ("h notin (x)", True),
        ("g notin (x)", False),
        ("i>2", True),
        ("i>3", False),
        ("i<4", True),
        ("g>2", False),
        ("h>2", False),
        ("g=x,i=3", True),
        ("g=x,i=4", False),
        ("i in (1,3),g=x", True),
        ("example.com/role=head", True),
        ("h in ()", False),
    ],
)
def test_labels_are_selected(selector: str, selected: bool) -> None:
    """Each operator, alone and in company; != and notin also select what has no such label."""
    test = parse_labels(selector)

    assert test is not None
    assert test(LABELS) is selected


@pytest.mark.spec("kube-api:SEL-1")
@pytest.mark.parametrize("selector", ["", "  "])
def test_an_empty_label_selector_selects_everything(selector: str) -> None:
    """Nothing to test."""
    assert parse_labels(selector) is None


@pytest.mark.spec("kube-api:SEL-2")
@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("g=x=y", "found '=', expected: ',' or 'end of string'"),
        ("g in x", "unable to parse requirement: found 'x' expected: '('"),
        ("g=!!", "unable to parse requirement: found '!', expected: identifier"),
        (
            "a/b/c=1",
            f'unable to parse requirement: <nil>: Invalid value: "a/b/c": {QUALIFIED}',
        ),
    ],
)
def test_a_label_selector_that_is_none_is_refused_in_the_servers_words(selector: str, message: str) -> None:
    """As recorded from a real server."""
    with pytest.raises(SelectorError) as refused:
        parse_labels(selector)

    assert str(refused.value) == message


@pytest.mark.parametrize("selector", ["g in (x", "g in (x y)", "g>x", "a,", "a,=b", "g=a b", "g=-", "(", "g=(x)"])
def test_no_broken_label_selector_is_read_as_something_else(selector: str) -> None:
    """Whatever the words, it is refused."""
    with pytest.raises(SelectorError):
        parse_labels(selector)


@pytest.mark.spec("kube-api:SEL-3")
@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("status.phase=Running", True),
        ("status.phase==Running", True),
        ("status.phase!=Running", False),
        ("status.phase=Running,spec.nodeName=n1", True),
        ("status.phase=Running,spec.nodeName!=n1", False),
        ("spec.other=", True),
        (r"spec.comma=a\,b", True),
    ],
)
def test_fields_are_selected(selector: str, selected: bool) -> None:
    """Equality and its opposite, joined by commas; what is absent counts as empty."""
    test = parse_fields(selector)

    assert test is not None
    assert test.holds({"status.phase": "Running", "spec.nodeName": "n1", "spec.comma": "a,b"}) is selected


@pytest.mark.spec("kube-api:SEL-3")
def test_a_field_selector_without_an_operator_is_refused() -> None:
    """With the whole selector in the message."""
    with pytest.raises(SelectorError, match=r"invalid selector: 'metadata\.name'; can't understand 'metadata\.name'"):
        parse_fields("metadata.name")


@pytest.mark.spec("kube-api:SEL-4")
def test_a_field_the_kind_does_not_offer_is_named() -> None:
    """In two wordings: for kinds with selectable fields of their own, and for those without."""
    test = parse_fields("zork=1")
    assert test is not None

    assert unknown_field(test, {"status.phase"}) == "field label not supported: zork"
    only = 'only "metadata.name", "metadata.namespace"'
    assert unknown_field(test, ()) == f'"zork" is not a known field selector: {only}'


@pytest.mark.spec("kube-api:SEL-4")
def test_every_kind_offers_name_and_namespace() -> None:
    """Nothing need be declared for them."""
    test = parse_fields("metadata.name=a,metadata.namespace=b")

    assert test is not None
    assert unknown_field(test, ()) == ""
