"""Rules about what a RayJob runs and what becomes of it (spec admission §4.7; JC01 to JC19, and JB9).

They judge the job specs of RayJobs and of RayCronJobs alike. JC02 stands with the reference's rules in `rayjob`. JC12
is J1 to J18, and what of JC07 is J30 is said there: enforced rules are not said twice. That a submitter's template has
no restartPolicy is mended by its default (D07).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

from api.v1.common import MANAGED_BY
from api.v1.rayjob import DeletionPolicy, JobStatus, SubmissionMode
from api.v1.rules.deletion import STAGES
from api.v1.rules.making import Job, job_rule, placed_rule, queued
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import PlacedCluster
from api.v1.rules.rayjob import read_runtime_env
from api.v1.rules.reading import Cluster, Found
from api.v1.rules.shell import control_operator
from api.v1.rules.typed import child, entries, is_true, number, text, whole
from api.v1.runtime_env import RuntimeEnvError, is_local
from api.v1.wire import ANNOTATION_EXTERNAL_STORAGE_NAMESPACE

__all__ = ["RULES", "takes_over"]

Json = Mapping[str, Any]

LONGEST_ENTRYPOINT: Final = 64 * 1024  # bytes
RUNTIME_ENV_KEYS: Final = frozenset(
    {
        "config",
        "conda",
        "container",
        "eager_install",
        "env_vars",
        "excludes",
        "image_uri",
        "java_jars",
        "mpi",
        "nsight",
        "pip",
        "py_executable",
        "py_modules",
        "rocprof_sys",
        "uv",
        "worker_process_setup_hook",
        "working_dir",
    }
)
ARCHIVES: Final = (".zip", ".whl")
_REMOTE: Final = re.compile(r"(?:https|s3|gs|azure|abfss|file)://(?P<path>[^?#]*)(?:[?#].*)?")
FAILURES: Final = (JobStatus.FAILED.value, "Failed")


# What is run


@job_rule("JC01")
def no_entrypoint(job: Job, _: Context) -> Iterator[Found]:
    """The submission would fail. A submitter with a command of its own knows itself what to submit."""
    if job.mode == SubmissionMode.INTERACTIVE or _own_command(job) or text(job.spec, "entrypoint").strip():
        return
    yield Found(
        "entrypoint",
        "entrypoint is empty: there is nothing to run",
        job.spec.get("entrypoint"),
        "write the command line of the job, as in python main.py",
    )


@job_rule("JC03", Severity.WARN)
def entrypoint_unused(job: Job, _: Context) -> Iterator[Found]:
    """In InteractiveMode the user submits."""
    if job.mode == SubmissionMode.INTERACTIVE and text(job.spec, "entrypoint").strip():
        yield Found("entrypoint", "entrypoint is ignored in InteractiveMode", job.spec["entrypoint"])


@job_rule("JC04", Severity.WARN)
def entrypoint_cut_by_a_shell(job: Job, _: Context) -> Iterator[Found]:
    """The submitter's bash reads the line, and takes what follows an operator for a command of its own."""
    if job.mode not in (SubmissionMode.K8S_JOB, SubmissionMode.SIDECAR) or _own_command(job):
        return
    entrypoint = text(job.spec, "entrypoint")
    if len(entrypoint) > LONGEST_ENTRYPOINT:
        return  # JC19 is told of it; to read a megabyte takes a second
    if operator := control_operator(entrypoint):
        named = "a line break" if operator.startswith("\n") else f"'{operator}'"
        yield Found(
            "entrypoint",
            f"what follows {named} runs in the submitter, not in the Ray job",
            entrypoint,
            "put the whole line into bash -c '...'",
        )


def _own_command(job: Job) -> bool:
    """The user's submitter does not run the generated line."""
    containers = entries(job.spec, "submitterPodTemplate", "spec", "containers")
    return job.mode == SubmissionMode.K8S_JOB and bool(containers and containers[0][1].get("command"))


@job_rule("JC05")
def resources_unreadable(job: Job, _: Context) -> Iterator[Found]:
    """They are sent to Ray as JSON."""
    written = text(job.spec, "entrypointResources")
    if not written.strip():
        return
    try:
        read = json.loads(written)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or not all(_is_amount(value) for value in read.values()):
        hint = """as in '{"accelerators": 1}'"""
        yield Found("entrypointResources", "should be a JSON object of numbers that are not negative", written, hint)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


@job_rule("JC06")
def resources_negative(job: Job, _: Context) -> Iterator[Found]:
    """Ray refuses them."""
    for field in ("entrypointNumCpus", "entrypointNumGpus"):
        amount = number(job.spec, field)
        if amount is not None and amount < 0:
            yield Found(field, f"{field} cannot be negative", amount)


@job_rule("JC19", Severity.WARN)
def entrypoint_long(job: Job, _: Context) -> Iterator[Found]:
    """It is an argument of a command, and a value that Ray keeps. The size of the whole object is XC16's."""
    size = len(text(job.spec, "entrypoint").encode(errors="surrogatepass"))
    if size > LONGEST_ENTRYPOINT:
        yield Found(
            "entrypoint",
            f"entrypoint has {size} bytes, more than 64 KiB",
            size,
            "put the script into the image, a ConfigMap or working_dir",
        )


# Its runtime environment; one that cannot be read is J30's


def _runtime_env(job: Job) -> Json:
    read = read_runtime_env(text(job.spec, "runtimeEnvYAML"))
    return {} if read is None or isinstance(read, RuntimeEnvError) else read


@job_rule("JC07", Severity.WARN)
def runtime_env_keys_unknown(job: Job, _: Context) -> Iterator[Found]:
    """Ray ignores them, or a plugin of the user's reads them."""
    for key in sorted(_runtime_env(job).keys() - RUNTIME_ENV_KEYS):
        if not key.startswith("_"):
            yield Found("runtimeEnvYAML", f"Ray knows no runtime environment field {key}", key, inside=key)


@job_rule("JC08")
def runtime_env_refused(job: Job, _: Context) -> Iterator[Found]:
    """Ray says no to the first two when the job starts; a local folder is one of the submitter."""
    env = _runtime_env(job)
    for one, other in combinations(("pip", "conda", "uv"), 2):
        if env.get(one) is not None and env.get(other) is not None:
            message = f"{one} and {other} cannot be used together"
            yield Found("runtimeEnvYAML", message, other, "choose one of them", inside=other)
    yield from _variables_refused(env.get("env_vars"))
    folder = env.get("working_dir")
    if job.mode == SubmissionMode.K8S_JOB and is_local(folder):
        yield Found(
            "runtimeEnvYAML",
            f"working_dir {folder} is looked for in the submitter's container",
            folder,
            "give a URI (https://, s3://, gs://), or put the folder into the image",
            severity=Severity.WARN,
            inside="working_dir",
        )
    archive = _REMOTE.fullmatch(folder) if isinstance(folder, str) and "$" not in folder else None  # a shell's to fill
    if archive and not archive["path"].endswith(ARCHIVES):
        message = f"working_dir {folder} names no archive: Ray takes {' and '.join(ARCHIVES)} of a URI"
        hint = "pack the folder into a .zip, with it at the top"
        yield Found("runtimeEnvYAML", message, folder, hint, severity=Severity.WARN, inside="working_dir")


def _variables_refused(variables: Any) -> Iterator[Found]:
    """Ray takes a map of texts, and nothing else."""
    if variables is not None and not isinstance(variables, dict):
        yield Found(
            "runtimeEnvYAML",
            "env_vars should be a map of texts",
            variables,
            'write NAME: "value", a line each',
            inside="env_vars",
        )
    for name, value in sorted(variables.items() if isinstance(variables, dict) else ()):
        if not isinstance(value, str):
            written = "" if value is None or isinstance(value, dict | list) else json.dumps(value)
            hint = f'write {name}: "{written}"'
            inside = f"env_vars.{name}"
            yield Found("runtimeEnvYAML", f"{inside} should be text", value, hint, inside=inside)


# How it is submitted


def takes_over(cluster: Cluster | None) -> bool:
    """Does another cluster of that spec find this one's jobs, under a name in Redis that is not made of its own?"""
    if cluster is None:
        return False
    named = text(child(cluster.spec, "gcsFaultToleranceOptions"), "externalStorageNamespace")
    return bool(named or cluster.annotations.get(ANNOTATION_EXTERNAL_STORAGE_NAMESPACE))


@job_rule("JC09", Severity.WARN)
def id_with_retries(job: Job, _: Context) -> Iterator[Found]:
    """A retry gets a new cluster, which knows no job of that id unless it takes over what the old one stored."""
    retried = (whole(job.spec, "backoffLimit") or 0) > 0 and job.cluster is not None
    if text(job.spec, "jobId") and retried and takes_over(job.cluster):
        yield Found(
            "jobId",
            "every retry submits under the same jobId, and its cluster finds the failed job in Redis",
            job.spec["jobId"],
            "leave jobId out: the operator chooses one for each try",
        )


@job_rule("JC10")
def submitter_refused(job: Job, _: Context) -> Iterator[Found]:
    """The API server refuses such a Job, again and again."""
    template = job.spec.get("submitterPodTemplate")
    if job.mode != SubmissionMode.K8S_JOB or not isinstance(template, dict):
        return
    if not child(template, "spec").get("containers"):
        yield Found("submitterPodTemplate.spec.containers", "submitterPodTemplate needs a container")
    if text(child(template, "spec"), "restartPolicy") == "Always":
        path = "submitterPodTemplate.spec.restartPolicy"
        yield Found(path, "a Job's pod cannot have restartPolicy Always", "Always", "use Never or OnFailure")


@job_rule("JC11", Severity.WARN)
def submitter_unused(job: Job, _: Context) -> Iterator[Found]:
    """There is no submitter pod."""
    if job.mode in (SubmissionMode.HTTP, SubmissionMode.INTERACTIVE):
        for field in ("submitterPodTemplate", "submitterConfig"):
            if job.spec.get(field) is not None:
                yield Found(field, f"{field} is ignored in {job.mode}")


# What becomes of its cluster


def _deletions(job: Job) -> list[tuple[int, str, str, int]]:
    """Place, policy, trigger and seconds of each rule with one trigger; others are J13's."""
    found = []
    for index, rule in entries(job.spec, "deletionStrategy", "deletionRules"):
        condition = child(rule, "condition")
        triggers = [text(condition, name) for name in ("jobStatus", "jobDeploymentStatus") if text(condition, name)]
        if len(triggers) == 1:
            found.append((index, text(rule, "policy"), triggers[0], whole(condition, "ttlSeconds") or 0))
    return found


@job_rule("JC13", Severity.WARN)
def deletion_after_the_end(job: Job, _: Context) -> Iterator[Found]:
    """Nobody is left to do it. Between policies that have an order it is J18's."""
    rules = _deletions(job)
    ends: dict[str, int] = {}  # trigger -> seconds after which nobody is left
    for _index, policy, trigger, seconds in rules:
        if policy == DeletionPolicy.DELETE_SELF:
            ends[trigger] = min(seconds, ends.get(trigger, seconds))
    for index, policy, trigger, seconds in rules:
        if policy not in STAGES and trigger in ends and seconds > ends[trigger]:
            yield Found(
                f"deletionStrategy.deletionRules[{index}]",
                f"never comes: DeleteSelf acts after {ends[trigger]} s, this rule after {seconds} s",
                seconds,
            )


@job_rule("JC14", Severity.WARN)
def one_outcome_forgotten(job: Job, _: Context) -> Iterator[Found]:
    """The cluster stays for ever after the other one."""
    rules = _deletions(job)
    removed = {_outcome(on) for _, policy, on, _ttl in rules if policy in STAGES}
    said = {_outcome(on) for _, _policy, on, _ttl in rules}
    if job.selects or is_true(job.spec, "shutdownAfterJobFinishes") or not removed:
        return
    for outcome in ("success", "failure"):
        if outcome not in said:
            word = "SUCCEEDED" if outcome == "success" else "FAILED"
            yield Found(
                "deletionStrategy.deletionRules",
                f"no rule for jobStatus {word}: after a {outcome} the cluster stays",
                None,
                "add a rule, DeleteNone if it is meant to stay",
            )


def _outcome(trigger: str) -> str:
    return "failure" if trigger in FAILURES else "success"


@job_rule("JC15", Severity.WARN)
def deadlines_crossed(job: Job, _: Context) -> Iterator[Found]:
    """Both count from the same moment."""
    whole_job, start = whole(job.spec, "activeDeadlineSeconds"), whole(job.spec, "preRunningDeadlineSeconds")
    if whole_job is not None and start is not None and 0 < whole_job <= start:
        yield Found(
            "activeDeadlineSeconds",
            f"activeDeadlineSeconds {whole_job} ends the job before preRunningDeadlineSeconds {start} could",
            whole_job,
            "raise activeDeadlineSeconds, or lower preRunningDeadlineSeconds",
        )


@job_rule("JC16", Severity.WARN)
def cluster_spec_unused(job: Job, _: Context) -> Iterator[Found]:
    """The selector wins; Kueue refuses both."""
    if job.selects and child(job.spec, "rayClusterSpec"):
        yield Found("rayClusterSpec", "rayClusterSpec is unused: clusterSelector names the cluster")


@job_rule("JB9", Severity.WARN)
def cleaning_without_effect(job: Job, _: Context) -> Iterator[Found]:
    """Nothing of a cluster that the job did not make is deleted (AC-19). Other policies are refused: J10, J15."""
    if not job.selects:
        return
    if is_true(job.spec, "shutdownAfterJobFinishes"):
        message = "shutdownAfterJobFinishes has no effect on the cluster of a clusterSelector"
        yield Found("shutdownAfterJobFinishes", message, True)
    policies = [text(rule, "policy") for _, rule in entries(job.spec, "deletionStrategy", "deletionRules")]
    policies += [text(child(job.spec, "deletionStrategy", name), "policy") for name in ("onSuccess", "onFailure")]
    if any(policy in (DeletionPolicy.DELETE_SELF, DeletionPolicy.DELETE_NONE) for policy in policies):
        yield Found("deletionStrategy", "deletionStrategy has no effect on a job with clusterSelector")


@placed_rule("JC17", kinds=["RayJob", "RayService", "RayCronJob"])
def cluster_fields_of_the_parent(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """What is for the parent to say: C68 would stop the child, and the others leave it alone or asleep."""
    spec, kind = placed.cluster.spec, text(new, "kind")
    if child(spec, "upgradeStrategy").get("type") is not None:
        message = f"upgradeStrategy does not work inside a {kind}: its cluster would be refused"
        yield Found("upgradeStrategy", message, child(spec, "upgradeStrategy")["type"], "leave it out")
    if kind == "RayService":
        parent, suspended = child(new, "spec"), False  # SV11
    else:
        parent = child(new, "spec") if kind == "RayJob" else child(new, "spec", "jobTemplate")
        suspended = is_true(spec, "suspend")
    if suspended:
        message = "the cluster would stay suspended, and the job would wait for it"
        yield Found("suspend", message, True, f"set suspend of the {kind} instead", severity=Severity.WARN)
    manager = text(spec, "managedBy")
    if manager and manager != (text(parent, "managedBy") or MANAGED_BY[0]):
        message = "managedBy differs from that of the object around it: nobody would look after the cluster"
        yield Found("managedBy", message, manager, f"set managedBy of the {kind} instead", severity=Severity.WARN)


@job_rule("JC18", Severity.WARN)
def suspension_unfit(job: Job, _: Context) -> Iterator[Found]:
    """A user who submits by hand does not see a suspension, and Kueue wants the cluster gone with the job."""
    interactive = job.mode == SubmissionMode.INTERACTIVE
    if is_true(job.spec, "suspend") and interactive:
        yield Found("suspend", "suspend and InteractiveMode do not go together", True)
    if job.path != "spec" or not queued(job.object):
        return
    if interactive:
        yield Found("submissionMode", "Kueue does not admit a RayJob in InteractiveMode", job.mode)
    if not is_true(job.spec, "shutdownAfterJobFinishes"):
        yield Found(
            "shutdownAfterJobFinishes",
            "Kueue admits a RayJob only with shutdownAfterJobFinishes: true",
            job.spec.get("shutdownAfterJobFinishes"),
            "set shutdownAfterJobFinishes: true",
        )


RULES: Final[tuple[Rule, ...]] = (
    no_entrypoint,
    entrypoint_unused,
    entrypoint_cut_by_a_shell,
    resources_unreadable,
    resources_negative,
    runtime_env_keys_unknown,
    runtime_env_refused,
    id_with_retries,
    submitter_refused,
    submitter_unused,
    deletion_after_the_end,
    one_outcome_forgotten,
    deadlines_crossed,
    cluster_spec_unused,
    cluster_fields_of_the_parent,
    suspension_unfit,
    entrypoint_long,
    cleaning_without_effect,
)
