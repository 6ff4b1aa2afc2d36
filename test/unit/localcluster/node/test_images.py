"""From an image's name to an environment, without making one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localcluster.node.imagemaking import find_python, is_progress, settings_for_uv, versions_in, why_not
from localcluster.node.images import DONE, Environment, Images
from localcluster.node.interfaces import Fault


def images(folder: Path, config: str = "", **environ: str) -> Images:
    file = folder / "images.toml"
    file.write_text(config)
    return Images(folder, config=file, environ={"PATH": "/usr/bin", **environ})


def made(images: Images, environment: Environment) -> Path:
    """As if it had been made."""
    folder = images.folder / environment.name
    folder.mkdir(parents=True)
    (folder / DONE).touch()
    return folder


def test_a_ray_image_is_here_once_its_environment_is_complete(tmp_path: Path) -> None:
    """The last file written says so; the environment's programs come first on PATH, the stand-in wget last."""
    store = images(tmp_path)
    assert store.find("rayproject/ray:2.52.0-py311-cpu") is None

    folder = made(store, Environment("2.52.0", "3.11"))
    found = store.find("rayproject/ray:2.52.0-py311-cpu")

    assert found is not None
    assert found.environment["PATH"] == f"{folder}/bin:/usr/bin:{store.folder}/bin"
    assert (found.environment["VIRTUAL_ENV"], found.environment["HOME"]) == (str(folder), "/home/ray")


def test_a_dashboard_may_take_its_time_on_a_busy_machine(tmp_path: Path) -> None:
    """Ray gives up after half a minute, and its head would stay unready for good."""
    store = images(tmp_path)
    made(store, Environment("2.52.0", "3.11"))

    found = store.find("rayproject/ray:2.52.0-py311")

    assert found is not None
    assert float(found.environment["RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT"]) >= 120
    assert int(found.environment["RAY_DASHBOARD_STARTUP_TIMEOUT_S"]) >= 120


def test_an_unfinished_environment_is_none(tmp_path: Path) -> None:
    """It was interrupted, and is made anew."""
    store = images(tmp_path)
    (store.folder / Environment("2.52.0", "3.11").name / "bin").mkdir(parents=True)

    assert store.find("rayproject/ray:2.52.0-py311") is None


def test_each_version_python_and_set_of_packages_is_an_environment_of_its_own() -> None:
    """Flavours are not: there is one Ray on PyPI for CPUs and GPUs."""
    names = {
        Environment("2.52.0", "3.11").name,
        Environment("2.53.0", "3.11").name,
        Environment("2.52.0", "3.12").name,
        Environment("2.52.0", "3.11", ("torch",)).name,
    }

    assert len(names) == 4
    assert Environment("2.52.0", "3.11").name == "ray-2.52.0-py311-default-serve-protobuf_7"


def test_an_environment_gets_no_protobuf_that_breaks_serve() -> None:
    """Ray asks for 3.20.3 or later; with 7, every Serve application is DEPLOY_FAILED (seen: Ray 2.52.0, 2.53.0)."""
    assert Environment("2.52.0", "3.11", ("torch",)).requirements == (
        *("ray[default,serve]==2.52.0", "protobuf<7", "torch"),
    )


def test_a_protobuf_that_the_user_names_is_taken() -> None:
    """Whoever maps an image knows what is in it; the folder's name says which it is."""
    wanted = Environment("2.52.0", "3.11", ("protobuf==5.29.5",))

    assert wanted.requirements == ("ray[default,serve]==2.52.0", "protobuf==5.29.5")
    assert wanted.name == "ray-2.52.0-py311-default-serve-protobuf==5.29.5"


async def test_the_users_file_says_what_other_images_are(tmp_path: Path) -> None:
    """A Ray with more packages, an environment that is there, or the machine itself; the first pattern that fits."""
    environment = tmp_path / "venv"
    store = images(
        tmp_path,
        f"""
        [images."corp/team:*"]
        environment = "{environment}"
        [images."corp/gpu"]
        ray = "2.52.0"
        packages = ["torch"]
        [images."busybox*"]
        machine = true
        """,
    )
    made(store, Environment("2.52.0", "", ("torch",)))

    team, gpu, machine = store.find("corp/team:7"), store.find("corp/gpu"), store.find("busybox:1.36")

    assert team is not None
    assert team.environment["PATH"].startswith(f"{environment}/bin:")
    assert gpu is not None
    assert "torch" in gpu.id
    assert machine is not None
    assert "VIRTUAL_ENV" not in machine.environment


@pytest.mark.parametrize(
    ("image", "reason", "told"),
    [
        ("nginx:1.27.0", "ErrImagePull", r'\[images."nginx:1.27.0"\]'),
        ("rayproject/ray:latest", "ErrImagePull", "images.toml"),
        ("Not An Image", "InvalidImageName", "invalid reference format"),
        ("redis:7", "ErrImagePull", "redis-server, which is not on PATH"),
    ],
)
async def test_an_image_that_cannot_be_is_refused_with_the_way_out(
    image: str, reason: str, told: str, tmp_path: Path
) -> None:
    """The message is what the pod's event says."""
    store = images(tmp_path, PATH=str(tmp_path))

    with pytest.raises(Fault, match=told) as caught:
        await store.make(image)

    assert caught.value.reason == reason


def test_redis_is_the_machines(tmp_path: Path) -> None:
    """With its protected mode off, as in the image: other pods must reach it."""
    server = tmp_path / "redis-server"
    server.touch(mode=0o755)

    found = images(tmp_path, PATH=str(tmp_path)).find("docker.io/library/redis:7.2")

    assert found is not None
    assert (found.entrypoint, found.arguments) == (("redis-server",), ("--protected-mode", "no"))


def test_programs_of_path_that_a_containers_own_tmp_would_hide_are_shown_again(tmp_path: Path) -> None:
    """A folder of PATH may lie anywhere."""
    (tmp_path / "bin").mkdir()

    found = images(tmp_path, '[images."m"]\nmachine = true', PATH=f"/usr/bin:{tmp_path}/bin").find("m")

    assert found is not None
    shown = {target for _, target in found.mounts}
    assert (f"{tmp_path}/bin" in shown) == str(tmp_path).startswith("/tmp/")
    assert "/usr/bin" not in shown


def test_the_stand_in_wget_does_not_need_the_environment_that_manta_runs_in(tmp_path: Path) -> None:
    """That may stand below /tmp, which every container has for itself."""
    store = images(tmp_path)

    store.furnish()

    interpreter = (store.folder / "bin" / "wget").read_text().split("\n")[0].removeprefix("#!").split(" ")[0]
    assert Path(interpreter).is_relative_to(sys.base_prefix)


def test_a_python_below_tmp_is_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments and the stand-in wget run on it."""
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    store = images(tmp_path, '[images."m"]\nmachine = true')

    found = store.find("m")

    assert found is not None
    assert ((str(tmp_path), str(tmp_path)) in found.mounts) == str(tmp_path).startswith("/tmp/")


def test_a_python_is_one_that_runs(tmp_path: Path) -> None:
    """A version manager's place holder has the name and does not run; a wrong version is no match either."""
    for name in ("shims", "other", "real"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "python3.12").touch()
    said = {
        f"{tmp_path}/shims/python3.12": [],
        f"{tmp_path}/other/python3.12": ["3.11", "/other"],
        f"{tmp_path}/real/python3.12": ["3.12", "/opt/python3.12"],
    }
    path = ":".join(str(tmp_path / name) for name in ("empty", "shims", "other", "real"))

    assert find_python("3.12", path, said.__getitem__) == "/opt/python3.12"
    assert find_python("3.13", path, said.__getitem__) is None


def test_of_what_uv_says_the_list_of_packages_is_not_told() -> None:
    """Ray's default and serve have some seventy; how long it takes and what is big stays."""
    said = ["Resolved 68 packages in 745ms", "Downloading ray (68.9MiB)", " + ray==2.52.0", " + pip==26.3", " - six==1"]

    assert [line for line in said if is_progress(line)] == said[:2]


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("failed to lookup address information: Temporary failure in name resolution", "a network"),
        ("invalid peer certificate: UnknownIssuer", "whose certificate"),
    ],
)
def test_an_index_that_cannot_be_reached_is_told_with_the_innermost_cause(cause: str, told: str) -> None:
    """uv wraps it in six others, all of which say that something went wrong."""
    said = [
        "error: Failed to install seed packages into virtual environment",
        "  cause: Request failed after 3 retries in 7.6s",
        "  cause: Failed to fetch: https://mirror.example.com/simple/wheel/",
        "  cause: error sending request for url (https://mirror.example.com/simple/wheel/)",
        "  cause: client error (Connect)",
        f"  cause: {cause}",
        "",
        "hint: Consider enabling use of system TLS certificates with the `--system-certs` command-line flag",
    ]

    why = why_not(said, Environment("2.52.0", ""), "3.11")

    assert why.startswith(f"https://mirror.example.com/simple/wheel/ cannot be reached: {cause}. ")
    assert told in why


def test_pips_settings_hold_for_uv_unless_the_user_set_uvs() -> None:
    """Whoever has a mirror configured it once, for pip."""
    pip = {"index-url": "mirror", "cert": "/ca.pem", "proxy": "proxy:3128", "timeout": "3"}
    others = {"SSL_CERT_FILE": "/ca.pem", "ALL_PROXY": "proxy:3128"}

    assert settings_for_uv(pip, {}) == {"UV_DEFAULT_INDEX": "mirror"} | others
    assert settings_for_uv(pip, {"UV_DEFAULT_INDEX": "own"}) == others


NO_WHEEL = """\
Using Python 3.11.7 environment at: /x
error: No solution found when resolving dependencies
  cause: Because ray[default]==1.13.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require \
ray[default]==1.13.0, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `ray` (v1.13.0) with the following Python ABI \
tags: `cp36m`, `cp37m`, `cp38`, `cp310`"""


def test_a_ray_without_a_wheel_for_any_python_here_is_told_in_a_sentence_with_the_way_out() -> None:
    """Both Pythons are named, the one that the tag wants and the one that was tried, and those that would do."""
    assert why_not(NO_WHEEL.splitlines(), Environment("1.13.0", "3.7"), "3.11") == (
        "it has no wheel for Python 3.11 (there is no python3.7 on PATH). Put a Python that it has wheels for on PATH "
        "(3.6, 3.7, 3.8, 3.10), or take a Ray that has one for Python 3.11"
    )
    assert why_not(NO_WHEEL.splitlines()[:3], Environment("1.13.0"), "3.11").startswith(
        "it has no wheel for Python 3.11. Put another Python on PATH"
    )


def test_a_ray_that_was_never_released_is_told_as_that() -> None:
    """Often a version of the image that has no package of the same number."""
    said = ["error: No solution found", "cause: Because there is no version of ray[default]==2.999.0 and you require"]

    assert why_not(said, Environment("2.999.0"), "3.11").startswith("the package index has no ray==2.999.0")


def test_the_releases_that_there_are_instead_are_named() -> None:
    """As pip lists them for the Python at hand; the newest are enough to choose from."""
    there = versions_in("ray (2.60.0)\nAvailable versions: 2.60.0, 2.59.0, 2.58.1\n  INSTALLED: 2.52.0\n")
    said = ["cause: Because there is no version of ray[default]==9.9.9 and you require"]

    assert there == ["2.60.0", "2.59.0", "2.58.1"]
    assert versions_in("ERROR: unknown command") == []
    assert why_not(said, Environment("9.9.9"), "3.11", there) == (
        "the package index has no ray==9.9.9; for Python 3.11 it has 2.60.0, 2.59.0, 2.58.1. "
        "Take one of these, as in rayproject/ray:2.60.0"
    )
    assert "2.52.0 and older ones. Take" in why_not(said, Environment("9.9.9"), "3.11", [*["2.52.0"] * 8, "2.0.0"])


async def test_an_image_without_a_release_in_its_tag_is_told_with_those_that_are_made(tmp_path: Path) -> None:
    """`latest` is what everybody tries first."""
    with pytest.raises(Fault) as none_made:
        await images(tmp_path).make("rayproject/ray:latest")
    for version in ("2.53.0", "2.9.0"):
        made(images(tmp_path), Environment(version))

    with pytest.raises(Fault) as told:
        await images(tmp_path).make("rayproject/ray:latest")

    assert "the tag latest names no release of Ray, and images are not pulled here" in told.value.message
    assert "(2.9.0, 2.53.0 made already, others are made from PyPI when they are first used)" in told.value.message
    assert "(made from PyPI at its first use)" in none_made.value.message


def test_whatever_else_went_wrong_is_told_in_its_own_last_words() -> None:
    """A network that is not there, a disk that is full."""
    said = [*(f"line {number}" for number in range(20)), "error: No space left on device"]

    assert why_not(said, Environment("2.52.0"), "3.11").endswith("line 19 error: No space left on device")
