"""Where the programs of the real control plane come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.kube.build import PROGRAMS, CannotBuild, cached, find, main


def test_every_program_is_pinned_and_has_a_place_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the version that its go.mod names."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    for program in PROGRAMS.values():
        assert program.version.startswith("v")
        assert cached(program).parent.name.startswith(f"{program.version}-linux-")
        assert cached(program).is_relative_to(tmp_path / "manta" / "kube")


def test_without_go_a_sentence_says_what_is_missing_and_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to guess."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    with pytest.raises(CannotBuild, match="no Go to build it with") as refused:
        find(("etcd",))

    assert "KUBEBUILDER_ASSETS" in str(refused.value)
    assert "the conformance tests still run on the local API server" in str(refused.value)


def test_what_is_in_the_cache_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is Go needed for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    path = cached(PROGRAMS["etcd"])
    path.parent.mkdir(parents=True)
    path.touch()

    assert find(("etcd",)) == {"etcd": path}


def test_given_programs_are_used_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the given folder lacks is refused, not built."""
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    assert find(("etcd",)) == {"etcd": tmp_path / "etcd"}
    with pytest.raises(CannotBuild, match="has no kubectl; unset it"):
        find(("kubectl",))


def test_unknown_programs_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With those there are."""
    assert main(["zork"]) == 1
    assert capsys.readouterr().err.startswith("no such program: zork; there are etcd, coredns, kube-apiserver")
