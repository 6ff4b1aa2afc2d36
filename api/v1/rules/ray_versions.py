"""Rules about versions of Ray: of `rayVersion`, of the images of all groups, and between them (spec admission §4.3).

Ray lets a worker join only if its version and Python are those of the head, and what differs is seen as a pod that
restarts for ever. RV01 is a default (`admission_defaults`), and speaks only where defaulting is off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.v1.rayjob import SubmissionMode
from api.v1.rules.hardware import USUAL, is_gpu_key
from api.v1.rules.images import (
    IMAGE_RAY_VERSION,
    Runs,
    default_pythons,
    effective_version,
    fleet_of,
    numbers,
    said_by,
    severity_at,
    weaker,
)
from api.v1.rules.making import Job, job_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import cluster_rule
from api.v1.rules.reading import AUTOSCALER_V2_ENV, Cluster, Found, env_named, template_containers
from api.v1.rules.typed import child, mapping, text, whole
from api.v1.version import Confidence, ImageVersion, Version, is_prerelease, parse_version

__all__ = ["RULES"]

FLOATING_WORDS: Final = ("nightly", "latest")  # accepted as rayVersion, and told of
PATCH: Final = 3  # numbers of a version: major, minor, patch
MINOR: Final = 2
ARM: Final = frozenset({"aarch64", "arm64"})
ARCHITECTURE: Final = "kubernetes.io/arch"
TPU: Final = "google.com/tpu"
WITH_DEFAULT_PYTHON: Final = ("ray", "ray-ml")  # repositories whose tags without a Python name a known one
CLUSTER_HINT: Final = "use one image, or images of one Ray release, in all groups"


def same(one: Version, other: Version, parts: int) -> bool:
    """Are the first numbers equal, as far as both have them?"""
    parts = min(parts, len(one), len(other))
    return one[:parts] == other[:parts]


@cluster_rule("RV01", Severity.WARN)
def version_unset(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Nobody fills it in where defaulting is off, and probes and features are chosen by it."""
    head = fleet_of(cluster, context).head
    if not context.admission.default_ray_version and not cluster.ray_version and head.of_ray and head.version:
        version = numbers(head.version)
        yield Found(
            "rayVersion", f"rayVersion is unset; the head image implies {version}", hint=f'rayVersion: "{version}"'
        )


@cluster_rule("RV02")
def version_against_image(cluster: Cluster, context: Context) -> Iterator[Found]:
    """rayVersion steers probes, submission and checks: a wrong one misleads silently."""
    head, asked = fleet_of(cluster, context).head, parse_version(cluster.ray_version)
    if asked is None or head.version is None:
        return
    if same(asked, head.version, PATCH) and is_prerelease(cluster.ray_version) == head.said.prerelease:
        return
    at_best = Severity.WARN if same(asked, head.version, MINOR) else Severity.DENY
    if severity := severity_at(head.said.confidence, at_best):
        yield Found(
            "rayVersion",
            f"rayVersion {cluster.ray_version} does not match head image {head.value}",
            cluster.ray_version,
            unsure(f"{held(head)} Ray {numbers(head.version)}: write that, or change the image", head),
            severity=severity,
        )


@cluster_rule("RV03")
def worker_against_head(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray refuses nodes of another version."""
    fleet = fleet_of(cluster, context)
    for runs in fleet.workers:
        if fleet.head.version is None or runs.version is None:
            continue
        equal = same(fleet.head.version, runs.version, PATCH)
        if equal and runs.said.prerelease == fleet.head.said.prerelease:
            continue
        confidence = weaker(fleet.head.said.confidence, runs.said.confidence)
        if severity := severity_at(confidence, Severity.WARN if equal else Severity.DENY):
            yield Found(
                runs.path,
                f"{runs.group.called} runs Ray {release(runs.said)}, head runs {release(fleet.head.said)}",
                runs.value,
                unsure(CLUSTER_HINT, fleet.head, runs),
                severity=severity,
            )


def held(runs: Runs) -> str:
    return "the image holds" if runs.of_ray else "its tag reads as"


def unsure(hint: str, *all_runs: Runs) -> str:
    """The hint, and the way out for images whose tags may count something else."""
    if all(runs.of_ray for runs in all_runs):
        return hint
    return f"{hint}; if a tag tells no version of Ray, annotate the pod template with {IMAGE_RAY_VERSION}"


def release(said: ImageVersion) -> str:
    """The version that an image tells, for people."""
    return numbers(said.version or ()) + (" (pre-release)" if said.prerelease else "")


@cluster_rule("RV04")
def python_against_head(cluster: Cluster, context: Context) -> Iterator[Found]:
    """What one Python pickles another cannot read."""
    fleet = fleet_of(cluster, context)
    head = pythons(fleet.head)
    for runs in fleet.workers if head else ():
        worker = pythons(runs)
        if not worker or head & worker or not (fleet.head.said.python or runs.said.python):
            continue
        explicit = bool(fleet.head.said.python and runs.said.python)
        confidence = weaker(fleet.head.said.confidence, runs.said.confidence)
        if severity := severity_at(confidence, Severity.DENY if explicit else Severity.WARN):
            yield Found(
                runs.path,
                f"Python version differs: head {spoken(head)}, {runs.group.called} {spoken(worker)}",
                runs.value,
                "name the same Python in the tags of all images, for example -py311",
                severity=severity,
            )


def pythons(runs: Runs) -> frozenset[str]:
    """The Pythons of which one is in the image; empty where nothing tells."""
    if runs.said.python:
        return frozenset({runs.said.python})
    dated = runs.reference.of_ray_project and runs.reference.basename in WITH_DEFAULT_PYTHON
    if dated and not runs.declared and runs.version is not None:
        return default_pythons(runs.version)
    return frozenset()


def spoken(pythons_: frozenset[str]) -> str:
    """As a tag has it: py310."""
    return " or ".join("py" + one.replace(".", "") for one in sorted(pythons_))


@cluster_rule("RV05", Severity.WARN)
def version_unreadable(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Everything that asks for a version takes the oldest. Where one is needed, C14 and C51 refuse it."""
    if not cluster.ray_version or parse_version(cluster.ray_version) is not None or needs_version(cluster):
        return
    word = cluster.ray_version.strip().lower()
    said = "names no release" if word in FLOATING_WORDS else "is not a version"
    yield Found(
        "rayVersion", f'rayVersion "{cluster.ray_version}" {said}', cluster.ray_version, 'a version is like "2.52.0"'
    )


def needs_version(cluster: Cluster) -> bool:
    """Do C13 or C50, and their likes, ask for a readable version?"""
    token = child(cluster.spec, "authOptions").get("mode") == "token"
    return token or any(whole(group.spec, "priority") for group in cluster.groups)


@cluster_rule("RV06", Severity.WARN)
def floating_beside_release(cluster: Cluster, context: Context) -> Iterator[Found]:
    """A build of today beside a release, or two builds."""
    known = [runs for runs in fleet_of(cluster, context).all if runs.of_ray and build(runs)]
    for runs in known[1:]:
        first = known[0]
        if build(runs) == build(first) or not (runs.said.floating or first.said.floating):
            continue
        mixed = "different builds" if runs.said.floating and first.said.floating else "nightly and release images"
        yield Found(runs.path, f"mixing {mixed}: {first.value} and {runs.value}", runs.value, CLUSTER_HINT)


def build(runs: Runs) -> str:
    """What the tag names: a release, or the first word of a tag that floats."""
    if runs.said.floating:
        return runs.reference.tag.split("-")[0]
    return "release" if runs.said.version else ""


@cluster_rule("RV07", Severity.WARN)
def digests_differ(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Without a tag nothing says that they hold the same."""
    fleet = fleet_of(cluster, context)
    plain = [runs for runs in fleet.all if runs.reference.digest and not runs.reference.tag and not runs.declared]
    first: dict[str, Runs] = {}
    for runs in plain:
        other = first.setdefault(runs.reference.repository, runs)
        if other.reference.digest != runs.reference.digest:
            yield Found(
                runs.path,
                f"{other.group.called} and {runs.group.called} use different digests of {runs.reference.repository}",
                runs.image,
                "name tag and digest, so that the version can be read",
            )


@cluster_rule("RV08", Severity.WARN)
def version_unknown(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Features are chosen by it. Where rayVersion must be given, C13 and C50 say so."""
    for runs in fleet_of(cluster, context).all:
        if runs.image.startswith("$"):
            yield Found(runs.path, f"image {runs.image} is a placeholder that nobody has replaced", runs.image)
    if cluster.ray_version or needs_version(cluster) or effective_version(cluster, context) is not None:
        return
    if fleet_of(cluster, context).head.image.startswith("$"):
        return
    if reasons := depends_on_version(cluster):
        yield Found(
            "rayVersion",
            f"cannot determine the Ray version, on which {reasons[0]} depends; set rayVersion",
            hint="or say it with the annotation ray.io/image-ray-version on the head's pod template",
        )


def depends_on_version(cluster: Cluster) -> list[str]:
    """What the operator or Ray chooses by the version (AC-3)."""
    chosen = []
    open_choice = not text(cluster.autoscaler, "version") and env_named(cluster.head.env, AUTOSCALER_V2_ENV) is None
    if cluster.autoscaling and open_choice:
        chosen.append("the version of the autoscaler")
    if any(
        group.containers
        and not (group.ray_container.get("livenessProbe") and group.ray_container.get("readinessProbe"))
        for group in cluster.all_groups
    ):
        chosen.append("the form of health probes")
    return chosen


@cluster_rule("RV09")
def autoscaler_against_head(cluster: Cluster, context: Context) -> Iterator[Found]:
    """It must be the Ray of the head."""
    image, head = text(cluster.autoscaler, "image"), fleet_of(cluster, context).head
    if not cluster.autoscaling or not image or head.version is None:
        return
    said = said_by(image, context.admission)
    if said.version is None or said.confidence is Confidence.LOW:
        return
    equal = same(said.version, head.version, PATCH)
    if equal and said.prerelease == head.said.prerelease:
        return
    confidence = weaker(said.confidence, head.said.confidence)
    if severity := severity_at(confidence, Severity.WARN if equal else Severity.DENY):
        yield Found(
            "autoscalerOptions.image",
            f"the autoscaler's image holds Ray {release(said)}, the head runs Ray {release(head.said)}",
            image,
            "leave autoscalerOptions.image out: the head's image is used then",
            severity=severity,
        )


@job_rule("RV10", Severity.WARN)
def submitter_against_head(job: Job, context: Context) -> Iterator[Found]:
    """Options of the command follow rayVersion, not the submitter's Ray."""
    if job.cluster is not None and not job.selects:
        yield from submitter(job, job.cluster, context, "head")


@job_rule("RV11", Severity.WARN)
def submitter_against_selected(job: Job, context: Context) -> Iterator[Found]:
    """As RV10, where the cluster is another object, and known here."""
    selected = context.surroundings.selected_cluster
    if job.selects and selected is not None:
        yield from submitter(job, Cluster(child(selected, "spec"), {}), context, "the selected cluster")


def submitter(job: Job, cluster: Cluster, context: Context, whose: str) -> Iterator[Found]:
    """Is the submitter's Ray another one than the cluster's?"""
    containers = template_containers(child(job.spec, "submitterPodTemplate"))
    image = text(containers[0], "image") if containers else ""
    said, version = said_by(image, context.admission), effective_version(cluster, context)
    if job.mode != SubmissionMode.K8S_JOB or version is None or said.version is None:
        return
    if severity_at(said.confidence) and not same(said.version, version.version, MINOR):
        yield Found(
            "submitterPodTemplate.spec.containers[0].image",
            f"the submitter's image holds Ray {release(said)}, {whose} runs {version}",
            image,
        )


@cluster_rule("RV12", Severity.WARN)
def floating_but_kept(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Each node keeps the build that it pulled first."""
    kept = [
        runs
        for runs in fleet_of(cluster, context).all
        if runs.said.floating in FLOATING_WORDS and text(runs.group.ray_container, "imagePullPolicy") == "IfNotPresent"
    ]
    for runs in kept if len(kept) > 1 else ():
        yield Found(
            f"{runs.group.container_path}.imagePullPolicy",
            f"{runs.group.called}: {runs.image} floats and is kept once pulled: nodes may hold different builds",
            "IfNotPresent",
            "name a release, or pull always",
        )


@cluster_rule("RV13", Severity.WARN)
def image_against_node(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Built for another processor or accelerator."""
    for runs in fleet_of(cluster, context).all:
        for problem in (wrong_processor(runs), cpu_build_on_gpu(runs, context), tpu_build_without_tpu(runs)):
            if problem:
                yield Found(f"{runs.group.container_path}.image", f"{runs.group.called}: {problem}", runs.image)


def wrong_processor(runs: Runs) -> str:
    """The node selector asks for one architecture, the tag names the other."""
    wanted = mapping(runs.group.pod_spec, "nodeSelector").get(ARCHITECTURE)
    if wanted is None:
        return ""
    arm = bool(ARM & set(runs.said.flavours))
    released = runs.reference.of_ray_project and not runs.declared and bool(runs.said.version or runs.said.floating)
    if wanted == "amd64" and arm:
        return f"{runs.image} is built for arm64, nodeSelector asks for amd64"
    if wanted == "arm64" and released and not arm:
        return f"{runs.image} is built for amd64, nodeSelector asks for arm64"
    return ""


def cpu_build_on_gpu(runs: Runs, context: Context) -> str:
    """An unsuffixed `ray` is the CPU build, an unsuffixed `ray-ml` the one for GPUs (AC-17)."""
    limits = runs.group.limits.items()
    if not any(key not in USUAL and is_gpu_key(key, context) and much > 0 for key, much in limits):
        return ""
    flavours = runs.said.flavours
    accelerated = any(one in ("gpu", "tpu") or one.startswith("cu") for one in flavours)
    plain_ray = runs.reference.of_ray_project and runs.reference.basename == "ray" and not accelerated
    plain_ray = plain_ray and not runs.declared
    built_so = "cpu" in flavours or (plain_ray and bool(runs.said.version or runs.said.floating))
    return f"{runs.image} is the CPU build, and the container has a GPU: use the -gpu image" if built_so else ""


def tpu_build_without_tpu(runs: Runs) -> str:
    """It waits for a device that is not there."""
    if "tpu" in runs.said.flavours and not runs.group.limits.get(TPU):
        return f"{runs.image} is the TPU build, and the container has no {TPU}"
    return ""


RULES: Final[tuple[Rule, ...]] = (
    version_unset,
    version_against_image,
    worker_against_head,
    python_against_head,
    version_unreadable,
    floating_beside_release,
    digests_differ,
    version_unknown,
    autoscaler_against_head,
    submitter_against_head,
    submitter_against_selected,
    floating_but_kept,
    image_against_node,
)
