"""Images on a machine without containers: an image's name leads to an environment (design.md §3, "Images").

    rayproject/ray:2.52.0-py311-cpu     a virtual environment with that Ray, made once and kept in the user's cache
    redis:7                             the machine's redis-server
    what images.toml names              whatever it says there

Nothing is pulled, and no interpreter is downloaded. Making one takes a network, which a cell does not have: there it is
asked of `serving_images`, which runs outside, through a Unix socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeAlias

from localcluster.node import wget
from localcluster.node.interfaces import Fault
from localcluster.node.references import parse, ray_tag
from localcluster.node.shared.installing import hook_into
from localcluster.node.whole import written

__all__ = ["Environment", "Image", "Images", "serving_images"]

Json: TypeAlias = dict[str, Any]
Told: TypeAlias = Callable[[str], None]

DONE: Final = "manta-image.json"  # written last: an environment without it is not finished
EXTRAS: Final = "default,serve"
# What Ray's own requirements allow and it cannot work with. Serve up to 2.53 at least asks protobuf for what protobuf 7
# no longer has, and every application ends as DEPLOY_FAILED. Packages of the user's own come before these.
BOUNDS: Final = {"protobuf": "protobuf<7"}
RAY_HOME: Final = "/home/ray"  # as in Ray's own images
OTHER_HOME: Final = "/home/manta"
OWN_TMP: Final = "/tmp/"  # noqa: S108 - every container has its own: what it needs of the machine's is shown again
# A head without a dashboard never gets ready, and Ray tries to start one only once, for 30 and 60 seconds: too short
# for a laptop that does something else besides (seen on two busy cores). The pod's liveness probe is for what hangs.
RAY_PATIENCE: Final = {
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "300",
}
HOW_TO_MAP: Final = (
    "images are not pulled here. Use rayproject/ray:<version> with a release of Ray{ready}, or say in {config} what it "
    "is: "
    '[images."{image}"] with ray = "<version>" (and python = "3.11", packages = ["..."]), or '
    'environment = "/path/to/a/venv", or machine = true for the programs of this machine'
)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment to be made: which Ray, which Python ("": the running one will do), what else."""

    ray: str
    python: str = ""
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its folder: one for each Ray, Python and extras."""
        python = self.python or f"{sys.version_info[0]}.{sys.version_info[1]}"
        words = ["ray", self.ray, f"py{python.replace('.', '')}", EXTRAS.replace(",", "-"), *self._beside_ray]
        return "".join(letter if letter.isalnum() or letter in "._-=" else "_" for letter in "-".join(words))

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that is installed by name."""
        return (f"ray[{EXTRAS}]=={self.ray}", *self._beside_ray)

    @property
    def _beside_ray(self) -> tuple[str, ...]:
        own = {re.split(r"[^\w.-]", package, maxsplit=1)[0].lower() for package in self.packages}
        return (*(bound for name, bound in BOUNDS.items() if name not in own), *self.packages)


@dataclass(frozen=True, slots=True)
class Image:
    """What containers of an image start from."""

    id: str
    environment: Mapping[str, str]
    home: str
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = field(default=())  # files of ours, and where containers see them


class Images:
    """The images of a machine, kept below `folder`. `environ` gives PATH, and pip's settings; `ask` is a socket."""

    def __init__(
        self,
        folder: Path,
        *,
        config: Path | None = None,
        ask: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        told: Told = lambda line: None,
    ) -> None:
        self.folder, self.environ = folder / "images", environ
        self.config = config or default_config(environ)
        self._ask, self._told = ask, told
        self._making: dict[str, asyncio.Lock] = {}

    def find(self, image: str) -> Image | None:
        """The image, if it is here and needs no making; None if it must be made, or cannot be."""
        try:
            wanted = self._resolve(image)
        except Fault:
            return None
        if isinstance(wanted, Image):
            return wanted
        folder = self.folder / wanted.name
        return self._of_environment(folder) if (folder / DONE).exists() else None

    async def make(self, image: str, told: Told | None = None) -> Image:
        """The image, made if need be; `told` gets lines of progress. Raises Fault ErrImagePull, InvalidImageName."""
        async with self._making.setdefault(image, asyncio.Lock()):
            if (found := self.find(image)) is not None:
                return found
            wanted = self._resolve(image)
            if isinstance(wanted, Image):
                return wanted
            said = told or self._told
            if self._ask is not None and self._ask.exists():
                await _ask(self._ask, image, said)
            else:
                await _make(self.folder / wanted.name, wanted, self.environ, said)
                hook_into(self.folder / wanted.name)
        found = self.find(image)
        if found is None:
            raise Fault("ErrImagePull", f"image {image} was made, and is not in {self.folder}")
        return found

    def _resolve(self, image: str) -> Image | Environment:
        try:
            reference = parse(image)
        except ValueError as error:
            raise Fault("InvalidImageName", f'Failed to apply default image tag "{image}": {error}') from error
        for pattern, given in self._mapped().items():
            if fnmatchcase(image, pattern):
                return self._as_configured(image, given)
        if reference.name == "redis":
            return self._redis(image)
        if (tag := ray_tag(reference)) is not None:
            return Environment(tag.ray, tag.python)
        way = HOW_TO_MAP.format(config=self.config, image=image, ready=self._ready())
        no_release = (
            f"the tag {reference.tag} names no release of Ray, and " if reference.name.startswith("ray") else ""
        )
        raise Fault("ErrImagePull", f"cannot pull {image}: {no_release}{way}")

    def _ready(self) -> str:
        """Which releases are made already, for who must choose one; and that others are no trouble either."""
        made = {one.parent.name.split("-")[1] for one in self.folder.glob(f"ray-*/{DONE}")}
        versions = sorted(made, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
        others = "others are made from PyPI when they are first used"
        return f" ({', '.join(versions)} made already, {others})" if versions else " (made from PyPI at its first use)"

    def _mapped(self) -> Json:
        if not self.config.exists():
            return {}
        try:
            images: Json = tomllib.loads(self.config.read_text()).get("images", {})
        except tomllib.TOMLDecodeError as error:
            raise Fault("ErrImagePull", f"cannot read {self.config}: {error}") from error
        return images

    def _as_configured(self, image: str, given: Json) -> Image | Environment:
        if "ray" in given:
            return Environment(given["ray"], given.get("python", ""), tuple(given.get("packages", ())))
        if "environment" in given:
            return self._of_environment(Path(given["environment"]).expanduser())
        if given.get("machine"):
            return self._image(f"machine:{image}", OTHER_HOME, [])
        raise Fault("ErrImagePull", f"{self.config} names {image} without ray, environment or machine")

    def _redis(self, image: str) -> Image:
        if shutil.which("redis-server", path=self.environ.get("PATH")) is None:
            raise Fault("ErrImagePull", f"cannot pull {image}: it is this machine's redis-server, which is not on PATH")
        return self._image(f"machine:{image}", OTHER_HOME, [], ("redis-server",), ("--protected-mode", "no"))

    def _of_environment(self, folder: Path) -> Image:
        image = self._image(f"environment:{folder.name}", RAY_HOME, [str(folder / "bin")])
        mounts = (*image.mounts, (str(folder), str(folder)))
        environment = {**image.environment, "VIRTUAL_ENV": str(folder), **RAY_PATIENCE}
        return Image(image.id, environment, image.home, mounts=mounts)

    def _image(
        self,
        id_: str,
        home: str,
        path: list[str],
        entrypoint: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
    ) -> Image:
        """The machine's PATH behind the image's own, and last of all the programs that a machine may lack."""
        path = [*path, *self.environ.get("PATH", os.defpath).split(":"), str(self.folder / "bin")]
        environment = {"PATH": ":".join(path), "HOME": home, "LANG": "C.UTF-8"}
        profile = (str(self.folder / "profile"), "/etc/profile")
        needed = [*path, sys.base_prefix]
        hidden = [(one, one) for one in needed if one.startswith(OWN_TMP) and Path(one).is_dir()]
        return Image(id_, environment, home, entrypoint, arguments, (profile, *hidden))

    def furnish(self) -> None:
        """Write what every image has: `wget`, and a profile that leaves PATH alone (`bash -l` reads it).

        Environments that were made before get the hook of pods on a shared machine, which sleeps elsewhere.
        """
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        script = Path(wget.__file__).read_text()
        python = getattr(sys, "_base_executable", sys.executable)  # containers do not see the environment we run in
        written(self.folder / "bin" / "wget", f"#!{python} -IS\n{script}", 0o755)
        written(self.folder / "profile", "# The image's environment holds for login shells, too.\n")
        for done in self.folder.glob(f"*/{DONE}"):
            hook_into(done.parent)


def default_config(environ: Mapping[str, str]) -> Path:
    """Where the user says what other images are."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "/").expanduser() / ".config")
    return Path(base) / "manta" / "images.toml"


# Making ------------------------------------------------------------------------------------------------------------


async def _make(folder: Path, wanted: Environment, environ: Mapping[str, str], told: Told) -> None:
    """By a process of its own (imagemaking.py), that ends with us. Raises Fault."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localcluster.node.imagemaking",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    try:
        process.stdin.write(json.dumps({"folder": str(folder), "wanted": asdict(wanted)}).encode())
        process.stdin.close()
        await _follow(process.stdout, told)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
        await process.wait()


async def _ask(socket: Path, image: str, told: Told) -> None:
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError as error:
        raise Fault("ErrImagePull", f"cannot ask for {image}: {error}") from error
    try:
        writer.write(json.dumps({"image": image}).encode() + b"\n")
        await _follow(reader, told)
    finally:
        writer.close()


async def _follow(reader: asyncio.StreamReader, told: Told) -> None:
    """Lines of progress until the last word. Raises Fault if that is one."""
    async for line in reader:
        said: Json = json.loads(line)
        if "line" in said:
            told(said["line"])
        elif "fault" in said:
            raise Fault(*said["fault"])
        else:
            return
    raise Fault("ErrImagePull", "the making of the image was interrupted")


@asynccontextmanager
async def serving_images(socket: Path, images: Images, told: Told = lambda line: None) -> AsyncIterator[None]:
    """Outside of the cell: images are made for whoever asks at the socket, while the block lasts."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(**what: Any) -> None:
            writer.write(json.dumps(what).encode() + b"\n")

        def both(line: str) -> None:
            told(line)
            say(line=line)

        try:
            await images.make(json.loads(await reader.readline())["image"], both)
            say(done=True)
        except Fault as fault:
            say(fault=[fault.reason, fault.message])
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(socket))
    try:
        yield
    finally:
        server.close()
