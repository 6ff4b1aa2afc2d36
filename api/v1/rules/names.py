"""What Kubernetes accepts as a name, a label key and a label value. Each function says what is wrong, or nothing."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["dns1035_problem", "dns1123_problem", "dns_problem", "label_key_problem", "label_value_problem"]

LONGEST: Final = 63
LONGEST_PREFIX: Final = 253

_DNS1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_DNS1123: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)


def dns1035_problem(text: str) -> str:
    """Why the text is no RFC 1035 label."""
    if not _DNS1035.fullmatch(text):
        return "lower case letters, digits and '-' only, first a letter, last a letter or digit"
    return _too_long(text, LONGEST)


def dns1123_problem(text: str) -> str:
    """Why the text is no RFC 1123 label."""
    if not _DNS1123.fullmatch(text):
        return "lower case letters, digits and '-' only, first and last a letter or digit"
    return _too_long(text, LONGEST)


def dns_problem(text: str) -> str:
    """Why the text is no DNS name: labels with dots between them."""
    if not _SUBDOMAIN.fullmatch(text):
        return "lower case letters, digits, '-' and '.' only, each part with a letter or digit at both ends"
    return _too_long(text, LONGEST_PREFIX)


def label_key_problem(text: str) -> str:
    """Why the text is no qualified name: `[prefix/]name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return "the prefix must be a DNS subdomain"
    if slash and len(prefix) > LONGEST_PREFIX:
        return f"the prefix must be no more than {LONGEST_PREFIX} characters"
    if not _WORD.fullmatch(name):
        return "letters, digits, '-', '_' and '.' only, first and last a letter or digit"
    return _too_long(name, LONGEST)


def label_value_problem(text: str) -> str:
    """Why the text is no label value; the empty text is one."""
    if text and not _WORD.fullmatch(text):
        return "letters, digits, '-', '_' and '.' only, first and last a letter or digit"
    return _too_long(text, LONGEST)


def _too_long(text: str, most: int) -> str:
    return f"must be no more than {most} characters" if len(text) > most else ""
