"""The command `manta`."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

__all__ = ["main"]

Output = Literal["auto", "plain", "json"]
Node = Literal["processes", "scripted"]


def main() -> None:
    """Entry point. --version answers before anything heavy is imported."""
    if sys.argv[1:] == ["--version"]:
        from importlib.metadata import version

        sys.stdout.write(f"manta {version('manta-operator')}\n")
        return
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))  # while modules load; `ending` takes over
    try:
        command()
    except KeyboardInterrupt:  # between the loop's end and ours
        sys.exit(130)


def command() -> None:
    """The typer application."""
    import typer

    NodeResources = Annotated[  # noqa: N806 - a type
        list[str] | None, typer.Option(help="More of what the node has, NAME=AMOUNT: nvidia.com/gpu=8.")
    ]
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Ray on Kubernetes, and without it.",
    )

    @app.callback()
    def manta(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
        """Ray on Kubernetes, and without it."""

    @app.command()
    def run(
        file: Annotated[
            str, typer.Argument(help="A YAML file with a RayJob, RayService or RayCluster; - reads standard input.")
        ],
        keep: Annotated[bool, typer.Option(help="Stay when it is over, until Ctrl-C.")] = False,
        output: Annotated[Output, typer.Option(help="How to show what happens.")] = "auto",
        node: Annotated[Node, typer.Option(help="What runs pods: real processes, or a table.")] = "processes",
        node_resources: NodeResources = None,
        port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port of the API; 0 takes any.")] = 0,
        kubeconfig: Annotated[Path | None, typer.Option(help="Where to write the kubeconfig.")] = None,
    ) -> None:
        """Run a file on a local cluster of its own, follow it, clean up.

        Ends 0 if the job succeeded or the service answers, 1 if not, 2 if the file cannot be used.
        """
        from manta.run import Wishes
        from manta.run import run as run_file

        wishes = Wishes(node, amounts(node_resources), port, output, keep, kubeconfig)
        raise typer.Exit(run_file(file, wishes))

    @app.command()
    def up(
        apply: Annotated[list[str] | None, typer.Option(help="A YAML file to apply at the start.")] = None,
        output: Annotated[Output, typer.Option(help="How to show what happens.")] = "auto",
        node: Annotated[Node, typer.Option(help="What runs pods: real processes, or a table.")] = "processes",
        node_resources: NodeResources = None,
        data: Annotated[Path | None, typer.Option(help="Where to keep the state; not there yet.")] = None,
        port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port of the API; 0 takes any.")] = 8001,
        kubeconfig: Annotated[Path | None, typer.Option(help="Where to write the kubeconfig.")] = None,
    ) -> None:
        """A local cluster with the operator on it, until Ctrl-C."""
        from manta.run import Wishes
        from manta.run import up as stay_up

        if data is not None:
            raise typer.BadParameter("not there yet: state lives in memory and ends with manta", param_hint="--data")
        wishes = Wishes(node, amounts(node_resources), port, output, False, kubeconfig)
        raise typer.Exit(stay_up(apply or [], wishes))

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
