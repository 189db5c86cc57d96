"""`jaxclust fit METHOD DATA`: a method's config fields become options, with the chosen preset's values."""

import argparse
import dataclasses
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxclust import methods, runs
from jaxclust.cli.options import read
from jaxclust.cli.tables import plain_log, run_table
from jaxclust.data import prepare, sources
from jaxclust.data.dataset import Dataset
from jaxclust.data.rows import Images, LazyArray
from jaxclust.errors import InputError
from jaxclust.methods.base import Method, Result
from jaxclust.models import Request
from jaxclust.runs import cluster_table, lifecycle
from jaxclust.system import environment, paths
from jaxclust.train import events, hosts
from jaxclust.train.loggers import Log
from jaxclust.train.mesh import choose_mesh
from jaxclust.train.progress import Reporter, Silent, Terminal, alive

LISTED = 20  # most clusters whose table is printed

HELP = """\
usage: jaxclust fit METHOD DATA [options]

METHOD is one of {methods} (jaxclust methods tells more).
DATA is a built-in name (jaxclust data lists them), a folder, .zip or .tar of images, a folder of .npy or .npz shards,
an .npz, .npy, idx or idx.gz file, a table (.csv, .tsv, .csv.gz, .parquet) of features, of paths of
images or of image files, a TIFF of several pages, or a sparse matrix (.npz of scipy.sparse.save_npz).

jaxclust fit METHOD --help lists all options, with the values of the preset; add --preset paper to see that one's.
"""


@dataclass(frozen=True)
class Options:
    """What `fit` needs beside the method's config."""

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """A built-in name, a folder, .zip or .tar of images, a folder of .npy or .npz shards, an .npz (dense or sparse),
    .npy, idx or idx.gz file, a table (.csv, .tsv, .csv.gz or .parquet), or a TIFF of several pages."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Run directory; runs/METHOD-DATA-SEED if not given."""
    seed: int = 0
    """Same seed, same machine: same labels."""
    preset: str = "auto"
    """Where the other options start from: 'quick' for a small CPU, 'full' for a TPU or GPU, 'paper' for the published
    values, 'paper:usps' for those of one data set where the text has several; 'auto' takes 'full' where there is a TPU
    or GPU, else 'quick'."""
    split: Literal["all", "train", "test"] = "all"
    """Part of the data to cluster, where the data states its parts."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="SIDE")] = None
    """Resize images to SIDE x SIDE; needed where they differ in size."""
    max_pixels: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Refuse image files of more pixels; about 89 million if not given. With --image-size large scans are shrunk while
    they are read."""
    skip_bad: bool = False
    """Leave out images that cannot be read; skipped.csv lists them."""
    stream: Literal["auto", "on", "off"] = "auto"
    """Read images from disk while training, in bounded memory; 'auto' does where they would take more than an eighth
    of the memory. The result is the same."""
    init_from: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Begin with the networks of that run: with what has the same name and shape. A line tells what does not."""
    overwrite: bool = False
    """Replace the run in DIR, once the new one is complete."""
    resume: bool = False
    """Go on with the run in DIR."""
    devices: int | None = None
    """Train on the first N devices; all if not given."""
    mesh: Annotated[str | None, tyro.conf.arg(metavar="data=N,expert=M")] = None
    """Spread batches over N devices and the stacked experts over M; if not given, batches over all devices."""
    distributed: bool = False
    """Be one of several processes that train together; only the first writes DIR."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Address of process 0, with --distributed; if not given, what TPU pods, Slurm and Kubernetes say."""
    processes: int | None = None
    """How many processes there are, with --distributed and --coordinator."""
    process_id: int | None = None
    """Which one this is, from 0, with --distributed and --coordinator."""
    wait: int = 300
    """Seconds to wait for the other processes."""
    no_figures: bool = False
    """Draw no figures, and write no page (report.html)."""
    log: Annotated[tuple[str, Path] | None, tyro.conf.arg(metavar="KIND DIR")] = None
    """Keep losses, rates, seconds, scores and figures in DIR as well, as KIND: 'jsonl', or 'tensorboard', 'wandb' or
    'trackio', which are installed by pip install 'jaxclust[KIND]'."""
    quiet: bool = False
    """Print the final table only."""


def main(argv: list[str]) -> None:
    """The command."""
    if not argv:
        raise InputError("METHOD and DATA are missing: jaxclust fit --help explains")
    if argv in (["-h"], ["--help"]):
        print(HELP.format(methods=", ".join(methods.METHODS)), end="")
        return
    name, rest = _split_method(argv)
    method = methods.find(name)
    _join(rest)
    options, config = parse(method, rest)
    out = paths.local(options.out or Path("runs") / f"{name}-{_slug(options.data)}-{options.seed}")
    try:
        metrics = _fit(method, options, config, out)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(_remedy(out, argv)) from interrupt
    if metrics is not None:
        print(run_table(metrics, out))
        if text := cluster_table.text(runs.read_clusters(out) or cluster_table.Table(), LISTED):
            print(f"\n{text}")


def parse(method: Method, argv: Sequence[str]) -> tuple[Options, Any]:
    """Options and the method's config from the command line; fields not given have the preset's values."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--preset", default="auto")
    preset, config = methods.choose_preset(method, reader.parse_known_args(list(argv))[0].preset)
    group = method.name.replace("-", "_")
    # tyro would put the config's own one-line errors into a box, so it reads a twin that does not check
    unchecked = type(method.Config.__name__, (method.Config,), {"__post_init__": lambda self: None})
    default = dataclasses.field(default=unchecked(**vars(config)))
    both = dataclasses.make_dataclass("Fit", [("general", Options), (group, unchecked, default)], frozen=True)
    text = f"{method.title}\n\nThe defaults shown are those of preset '{preset}'."
    config_of = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    parsed = read(both, f"jaxclust fit {method.name}", argv, text, *config_of)
    return dataclasses.replace(parsed.general, preset=preset), method.Config(**vars(getattr(parsed, group)))


def _fit(method: Method, options: Options, config: Any, out: Path) -> dict[str, Any] | None:
    """What metrics.json holds; None in a process that only computes along."""
    if options.overwrite and options.resume:
        raise InputError("--overwrite and --resume exclude each other: choose one")
    environment.start_jax()
    leads = hosts.is_first()
    hosts.shared(lambda: {"run": lifecycle.check_free(out, overwrite=options.overwrite, resume=options.resume)})
    report: Reporter = Terminal() if leads and not options.quiet else Silent()
    if options.log is None or not leads:
        return _fit_on(method, options, config, out, report, leads)
    log = Log(options.log[0], paths.local(options.log[1]))
    try:
        return _fit_on(method, options, config, out, events.told(report, [log]), leads)
    finally:
        log.close()


def _fit_on(
    method: Method, options: Options, config: Any, out: Path, report: Reporter, leads: bool
) -> dict[str, Any] | None:
    """The data, the fit and the page."""
    environment.enable_compilation_cache(report.note)
    mesh = choose_mesh(options.devices, options.mesh)
    with plain_log():
        dataset = sources.load(
            options.data,
            split=options.split,
            image_size=options.image_size,
            skip_bad=options.skip_bad,
            stream=options.stream,
            max_pixels=options.max_pixels,
        )
    if dataset.skipped:
        report.note(f"what was left out, and why: {out / runs.SKIPPED}")
    shape = "x".join(map(str, dataset.images.shape[1:]))
    how = "streamed; " if isinstance(dataset.images, LazyArray) else ""
    report.note(f"{dataset.name}: {len(dataset.images)} examples of {shape}; {how}preset {options.preset}; run {out}")
    stated = {
        name: getattr(options, name) for name in ("preset", "split", "image_size", "skip_bad", "stream", "max_pixels")
    }
    stated["depth"] = dataset.depth
    request = Request(method, config, options.seed)
    start = None if options.init_from is None else paths.local(options.init_from)
    if not leads:
        runs.follow(request, dataset, mesh, start)
        return None
    metrics = runs.fit(
        request,
        dataset,
        out,
        options=stated,
        overwrite=options.overwrite,
        resume=options.resume,
        report=report,
        draw=None if options.no_figures else drawer(options.seed, report),
        mesh=mesh,
        init_from=start,
    )
    if not options.no_figures:
        write_page(out, dataset, report)
    return metrics


def _join(argv: Sequence[str]) -> None:
    """Become one of several processes, where that is asked for: before anything asks JAX for its devices."""
    if "-h" in argv or "--help" in argv:
        return
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--distributed", action="store_true")
    reader.add_argument("--coordinator")
    for name in ("--processes", "--process-id", "--wait"):
        reader.add_argument(name, type=int, default=300 if name == "--wait" else None)
    try:
        asked = reader.parse_known_args(list(argv))[0]
    except argparse.ArgumentError as error:
        raise InputError(f"{error.argument_name}: {error.message}: give a whole number") from error
    given = (asked.coordinator, asked.processes, asked.process_id)
    if asked.distributed:
        hosts.join(*given, asked.wait)
    elif any(value is not None for value in given):
        raise InputError("coordinator, processes and process_id are for several processes: add --distributed")


def drawer(seed: int, report: Reporter) -> runs.Draw:
    """Draws what can be drawn; a figure that fails is noted and costs nothing else."""

    def draw(out: Path, result: Result, images: Images, preprocess: prepare.Preprocess, dataset: Dataset) -> None:
        import jax

        from jaxclust.numerics import fold_name
        from jaxclust.report import figures

        key = fold_name(jax.random.key(seed), "figures")
        try:
            figures.draw_run(out, result, images, preprocess, dataset.labels, dataset.class_names, key)
        except* OSError:
            raise
        except* Exception as group:
            for error in group.exceptions:
                report.note(f"a figure is missing: {error}")

    return draw


def write_page(out: Path, dataset: Dataset | None, report: Reporter) -> None:
    """Writes report.html, once the run is complete: a page that fails is noted and costs nothing else."""
    from jaxclust.report import page

    if (out / page.NAME).exists():  # of a complete run that was asked to go on
        return
    start = time.perf_counter()
    report.phase("page")
    try:
        with alive(report):
            page.write(out, dataset)
        report.done(time.perf_counter() - start)
    except OSError:
        raise
    except Exception as error:
        report.note(f"{page.NAME} is missing: {type(error).__name__}: {error}")


def _split_method(argv: list[str]) -> tuple[str, list[str]]:
    """The method is the first argument that names one; else the first that is no option, which then is unknown."""
    known = [word for word in argv if word in methods.METHODS]
    name = (known or [word for word in argv if not word.startswith("-")] or [argv[0]])[0]
    place = argv.index(name)
    return name, argv[:place] + argv[place + 1 :]


def _slug(data: str) -> str:
    path = Path(data)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem if path.suffix else path.name or data).strip("-.") or "data"


def _remedy(out: Path, argv: list[str]) -> str:
    """How to go on after Ctrl-C."""
    if not (out / "config.json").exists():
        return "nothing was written"
    words = [word for word in argv if word not in ("--overwrite", "--resume")]
    return f"go on with {shlex.join(['jaxclust', 'fit', *words, '--resume'])}"
