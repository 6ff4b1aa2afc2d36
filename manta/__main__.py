"""The command `manta`."""

import json
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args

__all__ = ["interrupted_early", "main"]

Output = Literal["auto", "plain", "json"]
Node = Literal["processes", "scripted"]
Isolation = Literal["auto", "cell", "shared-host"]
Form = Literal["text", "json", "sarif", "github"]
Profile = Literal["compat", "standard", "strict"]
FailOn = Literal["deny", "warn"]

ABOUT = "Ray on this machine, from the YAML that Kubernetes takes: the API, the operator and real Ray, all from here."
ENDING = "Full story, images and limits: docs/local.md. Files to begin with: config/samples/."
RUN = """Run what is in FILE, follow it, and clean up: a local cluster of its own comes and goes with it.

No Kubernetes is needed, nor root. Where namespaces are allowed, pods are kept from this machine, elsewhere they share
it (--isolation, docs/shared-host.md). What is wrong with FILE is told before it starts.
Pods become processes; an image such as rayproject/ray:2.52.0 is an environment with that Ray, made once from PyPI.

    manta run config/samples/rayjob.yaml

Exit code 0: the job succeeded, the cluster is ready, or the service answers. 1: it did not come to that.
2: the options or the file cannot be used, and nothing was started. 130: Ctrl-C.
"""
UP = """A local cluster that stays until Ctrl-C, for kubectl and everything else that speaks to Kubernetes.

It prints how to reach it. Its state is in memory and ends with it.

    manta up --apply config/samples/raycluster.yaml
    kubectl get pods     (in another shell, after the export line that it prints)
"""
LINT = """Say what is wrong with FILEs, all of it, without a cluster.

What the schema, and the operator's webhook, would say: each finding with its line.
A FILE is YAML or JSON with any number of objects; a folder, of which all .yaml,
.yml and .json is read; or - for standard input. Templates of Helm charts and parts
of kustomizations are skipped: lint what is made of them.

    manta lint deploy/
    helm template my-chart | manta lint -

Exit code 0: nothing is refused; warnings are told. 1: something is refused; with
--fail-on warn, or warned of. 2: a FILE holds what is no Kubernetes object, or an
option is wrong.
"""
LINT_ENDING = "The rules: docs/rules.md. In CI and before commits: docs/lint.md."
HELP = {
    "file": "YAML with a RayJob, RayService, RayCluster or RayCronJob, and what belongs to it; - reads standard input.",
    "keep": "Stay when it is over, to look around, until Ctrl-C.",
    "output": "auto: a live table on a terminal, plain lines elsewhere. json: an object a line, for scripts.",
    "node": "processes: pods are real processes, with real Ray. scripted: nothing runs in them, to try YAML out.",
    "isolation": "cell: pods live in namespaces. shared-host: they share this machine, without privileges and with "
    "limits: docs/shared-host.md. auto: a cell if there is one to be had.",
    "node_resources": "What this machine shall claim to have besides, such as nvidia.com/gpu=8. May be repeated.",
    "port": "Port of the Kubernetes API on 127.0.0.1; 0 takes any that is free.",
    "kubeconfig": "Where to write the kubeconfig, a new file that is gone at the end; by default a private one.",
    "apply": "YAML whose objects are created at the start. May be repeated.",
    "files": "Files, folders, or - for standard input.",
    "form": "text for people; json; sarif for code scanning; github for annotations of a pull request.",
    "profile": "How strict the operator is. compat refuses only what KubeRay refuses; strict refuses all it warns of. "
    "Default: what --config says, or standard.",
    "rule": "Another severity for one rule: deny, warn or off. May be repeated.",
    "gates": "The operator's -feature-gates, such as RayCronJob=true. Default: those of an operator without flags.",
    "config": "The operator's -config file, for its part `admission` and its sidecars.",
    "fail_on": "What makes the exit code 1.",
    "color": "Default: on terminals, unless NO_COLOR is set.",
    "explain": "Say what a rule is, why, and how to mend what it finds; no FILE is needed.",
    "data": "Not supported yet: state lives in memory, and ends with manta.",
}


def main() -> None:
    """Entry point. --version answers before anything heavy is imported."""
    if sys.argv[1:] == ["--version"]:
        from importlib.metadata import version

        sys.stdout.write(f"manta {version('manta-operator')}\n")
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # while modules load; `ending` takes over
        signal.signal(number, lambda number, _: interrupted_early(sys.argv[1:], number))
    try:
        command()
    except KeyboardInterrupt:  # between the loop's end and ours
        sys.exit(130)


def interrupted_early(arguments: Sequence[str], number: int) -> NoReturn:
    """Ends as `ending` would, before that is loaded: nothing was started."""
    code = 128 + number
    if "--output=json" in arguments or ("--output", "json") in pairwise(arguments):
        sys.stdout.write(json.dumps({"what": "end", "code": code, "text": "interrupted; nothing was started"}) + "\n")
    sys.exit(code)


def command() -> None:
    """The typer application."""
    import typer

    def one_of(words: Any) -> dict[str, Any]:
        """Options of that Literal: typer's own begin their refusal with "Value error"."""

        def parsed(value: str) -> str:
            if value in get_args(words):
                return value
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, get_args(words)))}.")

        return {"parser": parsed, "metavar": f"[{'|'.join(get_args(words))}]"}

    NodeResources = Annotated[  # noqa: N806 - a type
        list[str] | None, typer.Option(metavar="NAME=AMOUNT", help=HELP["node_resources"])
    ]
    IsolationOption = Annotated[  # noqa: N806
        Isolation, typer.Option(help=HELP["isolation"], envvar="MANTA_ISOLATION")
    ]
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )

    @app.callback(help=ABOUT, epilog=ENDING)
    def manta(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
        """Ray on this machine."""

    @app.command(help=RUN, epilog=ENDING)
    def run(
        file: Annotated[str, typer.Argument(metavar="FILE", help=HELP["file"])],
        keep: Annotated[bool, typer.Option("--keep", help=HELP["keep"])] = False,
        output: Annotated[Output, typer.Option(help=HELP["output"])] = "auto",
        node: Annotated[Node, typer.Option(help=HELP["node"])] = "processes",
        isolation: IsolationOption = "auto",
        node_resources: NodeResources = None,
        port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help=HELP["port"])] = 0,
        kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help=HELP["kubeconfig"])] = None,
    ) -> None:
        """Run a file, follow it, clean up."""
        from manta.run import Wishes
        from manta.run import run as run_file

        wishes = Wishes(node, amounts(node_resources), port, output, keep, kubeconfig, isolation)
        raise typer.Exit(run_file(file, wishes))

    @app.command(help=UP, epilog=ENDING)
    def up(
        apply: Annotated[list[str] | None, typer.Option(metavar="FILE", help=HELP["apply"])] = None,
        output: Annotated[Output, typer.Option(help=HELP["output"])] = "auto",
        node: Annotated[Node, typer.Option(help=HELP["node"])] = "processes",
        isolation: IsolationOption = "auto",
        node_resources: NodeResources = None,
        data: Annotated[Path | None, typer.Option(metavar="FOLDER", help=HELP["data"])] = None,
        port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help=HELP["port"])] = 8001,
        kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help=HELP["kubeconfig"])] = None,
    ) -> None:
        """A local cluster, until Ctrl-C."""
        from manta.run import Wishes
        from manta.run import up as stay_up

        if data is not None:
            raise typer.BadParameter(
                "not supported yet: state lives in memory and ends with manta", param_hint="--data"
            )
        wishes = Wishes(node, amounts(node_resources), port, output, False, kubeconfig, isolation)
        raise typer.Exit(stay_up(apply or [], wishes))

    @app.command(help=LINT, epilog=LINT_ENDING)
    def lint(
        files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help=HELP["files"])] = None,
        output: Annotated[Form, typer.Option(help=HELP["form"], **one_of(Form))] = "text",
        profile: Annotated[Profile | None, typer.Option(help=HELP["profile"], **one_of(Profile))] = None,
        rule: Annotated[list[str] | None, typer.Option(metavar="ID=SEVERITY", help=HELP["rule"])] = None,
        feature_gates: Annotated[str, typer.Option(metavar="GATE=BOOL,...", help=HELP["gates"])] = "",
        config: Annotated[str, typer.Option(metavar="FILE", help=HELP["config"])] = "",
        fail_on: Annotated[FailOn, typer.Option(help=HELP["fail_on"], **one_of(FailOn))] = "deny",
        color: Annotated[bool | None, typer.Option("--color/--no-color", help=HELP["color"])] = None,
        explain: Annotated[str, typer.Option(metavar="ID", help=HELP["explain"])] = "",
    ) -> None:
        """What is wrong with files."""
        from manta.lint import Wanted
        from manta.lint import explain as explain_rule
        from manta.lint import lint as lint_files

        if explain:
            raise typer.Exit(explain_rule(explain))
        if not files:
            raise typer.BadParameter("name files, folders, or - for standard input", param_hint="FILE...")
        wanted = Wanted(output, profile or "", rule or (), feature_gates, config, fail_on, color)
        raise typer.Exit(lint_files(files, wanted))

    app()


def amounts(pairs: list[str] | None) -> dict[str, str]:
    """nvidia.com/gpu=8 -> {"nvidia.com/gpu": "8"}; what is no such pair is a usage error."""
    import typer

    from api.quantity import is_quantity

    found = {}
    for pair in pairs or ():
        name, has_amount, amount = pair.partition("=")
        if not has_amount:
            raise typer.BadParameter(f"{pair!r} is not NAME=AMOUNT", param_hint="--node-resources")
        if not is_quantity(amount):
            problem = f"{amount!r} of {name} is no quantity such as 8, 500m or 16Gi"
            raise typer.BadParameter(problem, param_hint="--node-resources")
        found[name] = amount
    return found


if __name__ == "__main__":
    main()
