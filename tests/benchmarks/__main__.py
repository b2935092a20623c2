"""`python -m tests.benchmarks [PART…]`: measures, prints tables, and writes JSON if asked to."""

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table as Grid

from tests.benchmarks.parts import PARTS, Bench, Table
from tests.benchmarks.site import nginx


@click.command()
@click.argument("parts", nargs=-1, metavar=f"[{'|'.join(PARTS)}]…", type=click.Choice(list(PARTS)))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Runs of each contender.")
@click.option("--rest", default=300.0, show_default=True, help="Seconds for which the daemon is watched at rest.")
@click.option(
    "--json", "document", type=click.Path(path_type=Path), metavar="FILE", help="Also write the figures here."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to work, on a real disk (about 14 GiB); corpora are kept.",
)
def main(parts: tuple[str, ...], rounds: int, rest: float, document: Path | None, directory: Path | None) -> None:
    """Measure attachsync beside other tools, which take turns with it; all parts, or those that are named."""
    if nginx() is None:
        raise click.ClickException("nginx is needed, to serve what is fetched")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode, too
    tables: list[tuple[str, Table]] = []
    with tempfile.TemporaryDirectory(prefix="attachsync-benchmarks-", dir="/var/tmp") as temporary:
        bench = Bench((directory or Path(temporary)).absolute(), rounds, rest)
        bench.folder.mkdir(parents=True, exist_ok=True)
        try:
            for part in parts or PARTS:
                for table in PARTS[part](bench):
                    _show(table)
                    tables.append((part, table))
                    if document:
                        document.write_text(json.dumps(_document(tables), indent=1) + "\n")
        finally:
            shutil.rmtree(bench.races, ignore_errors=True)


def _show(table: Table) -> None:
    ours = table.results[0]
    console, grid = Console(), Grid(box=None, pad_edge=False)
    grid.add_column("")
    for heading in ("median s", "min", "max", "cpu s", "peak MiB", "ours : this"):
        grid.add_column(heading, justify="right")
    for result in table.results:
        walls = [run.wall for run in result.runs]
        figures = [f"{result.median('wall'):.2f}", f"{min(walls):.2f}", f"{max(walls):.2f}"]
        figures += [f"{result.median('cpu'):.2f}", f"{result.median('peak') / 2**20:.0f}"]
        grid.add_row(result.name, *figures, f"{result.ratio(ours):.2f}" if table.compares else "")
    console.print(table.title, highlight=False)
    console.print(grid)
    for note in table.notes:
        console.print(f"  {note}", highlight=False)
    console.print()


def _document(tables: list[tuple[str, Table]]) -> dict[str, object]:
    return {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "tables": [
            {
                "part": part,
                "title": table.title,
                "notes": table.notes,
                "results": [result.document(table.results[0]) for result in table.results],
            }
            for part, table in tables
        ],
    }


if __name__ == "__main__":
    main()
