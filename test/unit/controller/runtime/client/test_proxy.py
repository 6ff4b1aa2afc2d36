"""Which proxy leads to the API server: as Go reads the variables, since they are set for client-go."""

from __future__ import annotations

import pytest

from controller.runtime.client.proxy import proxy_for

PROXY = "http://proxy:3128"
INSIDE = "https://10.96.0.1:443"
OUTSIDE = "https://api.k8s.example.com:6443"


@pytest.mark.spec("runtime:TRN-7", "deployment:DC-25")
@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, OUTSIDE, ""),
        ({"HTTPS_PROXY": PROXY}, OUTSIDE, PROXY),
        ({"https_proxy": PROXY}, OUTSIDE, PROXY),
        ({"HTTPS_PROXY": "http://first:1", "https_proxy": "http://second:1"}, OUTSIDE, "http://first:1"),
        ({"HTTPS_PROXY": "", "https_proxy": PROXY}, OUTSIDE, PROXY),
        ({"HTTPS_PROXY": "proxy:3128"}, OUTSIDE, PROXY),
        ({"HTTP_PROXY": PROXY}, OUTSIDE, ""),
        ({"HTTP_PROXY": PROXY}, "http://api:8080", PROXY),
        ({"HTTPS_PROXY": "http://me:secret@proxy:3128"}, OUTSIDE, "http://me:secret@proxy:3128"),
    ],
)
def test_the_variable_of_the_server_s_scheme_names_the_proxy(environ: dict[str, str], url: str, proxy: str) -> None:
    assert proxy_for(url, environ) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("10.0.0.0/8", INSIDE, True),
        ("10.0.0.0/8", "https://11.0.0.1", False),
        ("10.96.0.0/33", INSIDE, False),
        ("fd00::/8", "https://[fd00::1]:6443", True),
        ("fd00::/8", INSIDE, False),
        ("10.0.0.0/8", OUTSIDE, False),
        ("10.96.0.1", INSIDE, True),
        ("10.96.0.1:443", INSIDE, True),
        ("10.96.0.1:6443", INSIDE, False),
        ("96.0.1", INSIDE, False),
        ("fd00::1", "https://[fd00::1]", True),
        ("[fd00::1]:443", "https://[fd00::1]", True),
        ("[fd00::1]:444", "https://[fd00::1]", False),
        ("example.com", OUTSIDE, True),
        ("EXAMPLE.com", OUTSIDE, True),
        (".example.com", OUTSIDE, True),
        ("*.example.com", OUTSIDE, True),
        (".api.k8s.example.com", OUTSIDE, False),
        ("api.k8s.example.com", OUTSIDE, True),
        ("ample.com", OUTSIDE, False),
        ("example.com:6443", OUTSIDE, True),
        ("example.com:443", OUTSIDE, False),
        ("*", OUTSIDE, True),
        (" other.org , .example.com,, ", OUTSIDE, True),
        ("", OUTSIDE, False),
        ("", "https://localhost:6443", True),
        ("", "https://127.0.0.1:6443", True),
        ("", "https://[::1]:6443", True),
    ],
)
def test_what_no_proxy_names_is_reached_without_one(no_proxy: str, url: str, direct: bool) -> None:
    """A cluster's own addresses stand there as ranges; loopback needs no entry."""
    assert (proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == "") is direct
