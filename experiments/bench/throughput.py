"""Training steps against PyTorch and against the machine: `python -m experiments.bench.throughput`, some minutes.

Ours is the library's own loop (train/loop.run_chunk) with its own steps: uint8 images resident on the device, batches
gathered by index, no augmentation. PyTorch (extra `bench`) trains the same networks with the same batch on float32
batches ready in memory, with fused Adam: eager in two memory formats, and compiled. The peer is its best in each round.
Arithmetic is that of the networks, counted from shapes; the ceiling is a large float32 product in the same rounds.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.bench import _cases as cases
from experiments.bench import _timing as timing
from experiments.bench._timing import Row, Seconds, Timer
from jaxclust.system import atomic

OURS, CEILING, ALONE = "jaxclust", "ceiling", "jaxclust, one VAE by itself"
TOP_EXPERTS = (2, 1)  # of a routed step; the library's default comes first


class Sizes(NamedTuple):
    """How large the measured things are. steps: of a round, fewer for larger networks; ceiling: of the product."""

    sides: Sequence[int] = (16, 32, 64)
    first: int = cases.FIRST
    batch: int = cases.BATCH
    widths: tuple[int, ...] = cases.WIDTHS
    mlp_batch: int = cases.MLP_BATCH
    ae_cm_sides: Sequence[int] = (16, 28)
    mixture_side: int = 16
    ks: Sequence[int] = (1, 5, 10, 20)
    vc_side: int = 16
    vc_clusters: Sequence[tuple[int, int | str]] = ((10, 2), (10, 3), (10, "all"), (100, 2), (100, "all"))
    hrwae_side: int = 16
    groups: Sequence[int] = (1, 2, 3)
    hc_mgan: Sequence[tuple[int, float]] = ((32, 1.0), (32, 0.25), (16, 0.25))
    slots: int = 4
    steps: int = 8
    ceiling: int = 2048


class Bench(NamedTuple):
    """One call of the command: what, for how long, and against what. peers: the module _peers, None without torch."""

    sizes: Sizes
    rounds: int
    limit: float
    compiled: bool
    peers: Any

    def measure(self, timers: dict[str, Timer], amount: float, unit: str) -> Seconds:
        """Seconds of each round, the ceiling's beside them; prints the rates of `amount` a step."""
        ceiling = {CEILING: timing.product(self.sizes.ceiling)}
        seconds = timing.interleaved({**timers, **ceiling}, self.rounds, self.limit)
        for name in timers:
            middle, top = statistics.median(seconds[name]), min(seconds[name])
            print(f"  {name:44}{amount / middle:>10.4g} {unit}, best {amount / top:.4g}", flush=True)
        return seconds

    def ours(self, case: cases.Case, steps: int) -> Timer:
        """The library's loop on ten batches of random data."""
        return timing.training(case.training, case.data(10 * case.batch), case.batch, steps)

    def theirs(self, make: Callable[..., Any], shape: tuple[int, ...], batch: int, steps: int) -> dict[str, Timer]:
        """PyTorch's trainings by name. make(wrap) returns the module; wrap goes around what can be compiled."""
        if self.peers is None:
            return {}
        torch, timers = self.peers.torch, {}
        formats = self.peers.FORMATS if len(shape) == 3 else {"eager": {}}
        for name, memory_format in formats.items():
            for compiled in (False, True) if self.compiled else (False,):
                torch.manual_seed(0)
                module = make(torch.compile if compiled else lambda module: module).to(**memory_format)
                batches = [torch.rand(batch, *shape).to(**memory_format) for _ in range(10)]
                timer = self.peers.Training(module, batches, steps)
                if not compiled or works(timer):
                    timers[f"PyTorch {name}{', compiled' if compiled else ''}"] = timer
        return timers


def works(timer: Timer) -> bool:
    """Whether a compiled training runs here; torch.compile needs a C++ compiler."""
    try:
        timer()
    except Exception as error:  # of many kinds
        print(f"torch.compile fails here and is left out: {str(error).strip().splitlines()[0]}")
        return False
    return True


def conv(bench: Bench) -> list[Row]:
    """Convolutional VAEs, one measurement for each side."""
    rows, sizes = [], bench.sizes
    for side in sizes.sides:
        steps = max(1, sizes.steps * 16 // side)
        case = cases.conv_vae(side, sizes.batch, sizes.first)

        def make(wrap: Callable[[Any], Any], side: int = side) -> Any:
            return wrap(bench.peers.ConvVAE(side, sizes.first, cases.LATENT))

        theirs = bench.theirs(make, (1, side, side), case.batch, steps)
        name = f"conv VAE {side} x {side}"
        print(f"{name}, first filters {sizes.first}, batch {case.batch}, {1e-9 * case.flops:.3g} GFLOP a step")
        seconds = bench.measure({OURS: bench.ours(case, steps), **theirs}, case.batch, "images/s")
        rows += rates(name, seconds, list(theirs), case, sizes.ceiling)
    return rows


def mlp(bench: Bench) -> list[Row]:
    """The autoencoder of feature vectors."""
    sizes = bench.sizes
    case = cases.mlp(sizes.widths, sizes.mlp_batch)
    theirs = bench.theirs(
        lambda wrap: wrap(bench.peers.MLPAutoencoder(sizes.widths)), case.shape, case.batch, sizes.steps
    )
    name = f"MLP autoencoder {'-'.join(map(str, sizes.widths))}"
    print(f"{name}, batch norm and Mish, batch {case.batch}, {1e-9 * case.flops:.3g} GFLOP a step")
    seconds = bench.measure({OURS: bench.ours(case, sizes.steps), **theirs}, case.batch, "examples/s")
    return rates(name, seconds, list(theirs), case, sizes.ceiling)


def ae_cm(bench: Bench) -> list[Row]:
    """The autoencoder with a clustering module, one measurement for each side."""
    rows, sizes = [], bench.sizes
    for side in sizes.ae_cm_sides:
        case = cases.ae_cm(side, sizes.mlp_batch)
        widths = (side * side, *cases.WIDTHS[1:])
        theirs = bench.theirs(
            lambda wrap, widths=widths: wrap(bench.peers.AECM(widths, cases.CLUSTERS, 20.0, 0.5)),
            widths[:1],
            case.batch,
            sizes.steps,
        )
        name = f"ae-cm {'-'.join(map(str, widths))}"
        print(f"{name}, batch {case.batch}, {1e-9 * case.flops:.3g} GFLOP a step")
        seconds = bench.measure({OURS: bench.ours(case, sizes.steps), **theirs}, case.batch, "examples/s")
        rows += rates(name, seconds, list(theirs), case, sizes.ceiling)
    return rows


def restarts(bench: Bench) -> list[Row]:
    """A step of several restarts trained together against as many steps of one: the text's network and UCI's."""
    rows = []
    for name, count, one, many in cases.restarts():
        timers = {"one": bench.ours(one, bench.sizes.steps), "together": bench.ours(many, bench.sizes.steps)}
        seconds = bench.measure(timers, 1, "steps/s")
        cost = [t / (count * o) for t, o in zip(seconds["together"], seconds["one"], strict=True)]
        middle = {key: 1e3 * statistics.median(values) for key, values in seconds.items()}
        label = f"{name}, ms a step of {count} restarts together (peer: {count} in turn)"
        rows.append(Row(label, middle["together"], count * middle["one"], statistics.median(cost)))
    return rows


def vc(bench: Bench) -> list[Row]:
    """A step of vc with K clusters, all of them decoded or two, against that with one cluster."""
    side, batch, steps = bench.sizes.vc_side, bench.sizes.batch, bench.sizes.steps
    one = "K = 1"
    timers = {one: bench.ours(cases.vc(1, "all", side, batch), steps)}
    for k, active in bench.sizes.vc_clusters:
        timers[f"K = {k}, {active} active"] = bench.ours(cases.vc(k, active, side, batch), steps)
    return costs(bench, f"vc {side} x {side}, preset quick, batch {batch}", timers, one)


def hrwae(bench: Bench) -> list[Row]:
    """A step of hrwae-gan with more latent groups against that with one, which is a relativistic WAE-GAN."""
    side, batch, steps = bench.sizes.hrwae_side, bench.sizes.batch, bench.sizes.steps
    timers = {f"L = {groups}": bench.ours(cases.hrwae(groups, side, batch), steps) for groups in bench.sizes.groups}
    rows = costs(bench, f"hrwae-gan {side} x {side}, preset quick, batch {batch}", timers, next(iter(timers)))
    case = cases.hrwae(2, side, batch, augmented=False)

    def make(wrap: Callable[[Any], Any]) -> Any:
        return wrap(bench.peers.HRWAE(side, cases.HRWAE.min_filters, cases.HRWAE.latent_dim, 2))

    theirs, name = bench.theirs(make, (1, side, side), batch, steps), f"hrwae-gan {side} x {side}, L = 2"
    print(f"{name}, without augmentation, batch {batch}")
    seconds = bench.measure({OURS: bench.ours(case, steps), **theirs}, batch, "images/s")
    return [*rows, timing.rate_row(f"{name}, images/s", seconds, OURS, list(theirs), batch)]


def hc_mgan(bench: Bench) -> list[Row]:
    """Iterations of hc-mgan's raw split and refinement, by side and width, against PyTorch's; then several leaves in
    one program against as many one after the other, at the last side and width."""
    rows, batch, slots = [], bench.sizes.batch, bench.sizes.slots
    for side, width in bench.sizes.hc_mgan:
        steps = max(1, round(bench.sizes.steps / (4 * width)))
        for refine, what in ((False, "raw split"), (True, "refinement")):
            theirs: dict[str, Timer] = {}
            if bench.peers is not None:
                theirs = bench.peers.gans(refine, side, width, batch, steps, bench.compiled)
                theirs = {name: timer for name, timer in theirs.items() if works(timer)}
            name = f"hc-mgan {what} {side} x {side}, width {width:g}"
            print(f"{name}, batch {batch}")
            timers = {OURS: bench.ours(cases.hc_mgan(refine, side, width, batch), steps), **theirs}
            seconds = bench.measure(timers, 1, "iterations/s")
            rows.append(timing.rate_row(f"{name}, iterations/s", seconds, OURS, list(theirs), 1))
    side, width = bench.sizes.hc_mgan[-1]
    for refine, what in ((False, "raw splits"), (True, "refinements")):
        timers = {
            name: bench.ours(cases.hc_mgan(refine, side, width, batch, count), bench.sizes.steps)
            for name, count in (("one", 1), ("together", slots))
        }
        print(f"hc-mgan, {slots} {what} at a time")
        seconds = bench.measure(timers, 1, "iterations/s")
        cost = [t / (slots * o) for t, o in zip(seconds["together"], seconds["one"], strict=True)]
        middle = {key: 1e3 * statistics.median(values) for key, values in seconds.items()}
        label = f"hc-mgan {slots} {what} at a time, {side} x {side}, width {width:g}, ms (peer: one after the other)"
        rows.append(Row(label, middle["together"], slots * middle["one"], statistics.median(cost)))
    return rows


def costs(bench: Bench, title: str, timers: dict[str, Timer], one: str) -> list[Row]:
    """Steps beside the one called `one`: ms of both, and what a step costs in steps of that one."""
    print(title)
    seconds = bench.measure(timers, 1, "steps/s")
    rows = []
    for name in (name for name in timers if name != one):
        cost = statistics.median(many / alone for many, alone in zip(seconds[name], seconds[one], strict=True))
        ours, peer = (1e3 * statistics.median(seconds[which]) for which in (name, one))
        rows.append(Row(f"{title}, {name}, ms a step (peer: {one})", ours, peer, cost))
    return rows


def rates(name: str, seconds: Seconds, theirs: Sequence[str], case: cases.Case, ceiling: int) -> list[Row]:
    """Examples a second against PyTorch, and operations a second against the ceiling."""
    return [
        timing.rate_row(f"{name}, examples/s", seconds, OURS, theirs, case.batch),
        timing.share_row(
            f"{name}, GFLOP/s (peer: the machine's ceiling)", seconds, OURS, case.flops, CEILING, 2 * ceiling**3
        ),
    ]


def mixture(bench: Bench) -> list[Row]:
    """Stage 1 with K experts, dense and routed, beside K PyTorch experts in a loop, and one VAE by itself."""
    sizes, side, steps = bench.sizes, bench.sizes.mixture_side, max(1, bench.sizes.steps // 4)
    timers = {ALONE: bench.ours(cases.conv_vae(side, sizes.batch, sizes.first), steps)}
    theirs: dict[int, list[str]] = {}
    for k in sizes.ks:
        for top in (k, *(top for top in TOP_EXPERTS if top < k)):
            timers[ours_of(k, top)] = bench.ours(cases.stage_one(k, top, side, sizes.batch, sizes.first), steps)

        def make(wrap: Callable[[Any], Any], k: int = k) -> Any:
            return bench.peers.Mixture(side, sizes.first, cases.LATENT, k, wrap)

        found = bench.theirs(make, (1, side, side), sizes.batch, steps)
        theirs[k] = [f"{name}, K = {k}" for name in found]
        timers |= dict(zip(theirs[k], found.values(), strict=True))
    print(f"mixture stage 1, {side} x {side}, first filters {sizes.first}, batch {sizes.batch}")
    return mixture_rows(sizes, bench.measure(timers, 1, "steps/s"), theirs)


def ours_of(k: int, top: int) -> str:
    """The name of a step of K experts of which each image goes to `top`."""
    return f"{OURS}, K = {k} {'dense' if top == k else f'routed to {top}'}"


def mixture_rows(sizes: Sizes, seconds: Seconds, theirs: dict[int, list[str]]) -> list[Row]:
    """Against PyTorch, routed against dense, and what one of K experts costs against one VAE by itself."""
    what, rows = f"mixture {sizes.mixture_side} x {sizes.mixture_side}", []
    for k in sizes.ks:
        dense = ours_of(k, k)
        rows.append(timing.rate_row(f"{what}, K = {k} dense, steps/s", seconds, dense, theirs[k], 1))
        each, alone = [value / k for value in seconds[dense]], seconds[ALONE]
        cost = statistics.median(e / a for e, a in zip(each, alone, strict=True))
        name = f"{what}, K = {k} dense, ms an expert with its share of the manager (peer: one VAE by itself)"
        rows.append(Row(name, 1e3 * statistics.median(each), 1e3 * statistics.median(alone), cost))
        for top in TOP_EXPERTS:
            if top < k:
                name = f"{what}, K = {k} routed to {top}, steps/s (peer: dense)"
                rows.append(timing.rate_row(name, seconds, ours_of(k, top), [dense], 1))
    return rows


GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "conv": conv,
    "mlp": mlp,
    "mixture": mixture,
    "ae-cm": ae_cm,
    "restarts": restarts,
    "vc": vc,
    "hrwae-gan": hrwae,
    "hc-mgan": hc_mgan,
}


def main(argv: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    """The command; returns the exit code."""
    sizes = sizes or Sizes()
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="groups to measure")
    parser.add_argument("--sides", nargs="+", type=int, default=sizes.sides, help="of the convolutional VAEs")
    parser.add_argument("--ks", nargs="+", type=int, default=sizes.ks, help="numbers of experts")
    parser.add_argument("--rounds", type=int, default=7, help="at most, for each measurement")
    parser.add_argument("--limit", type=float, default=60, help="seconds of rounds, for each measurement")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows: a list of name, ours, peer, ratio")
    options = parser.parse_args(argv)
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, float32")
    bench = Bench(
        sizes._replace(sides=options.sides, ks=options.ks), options.rounds, options.limit, not options.no_compile,
        peers(),
    )  # fmt: skip
    rows = [row for name in options.only for row in GROUPS[name](bench)]
    print("\n" + timing.header("", "ours", "peer", "ratio"))
    for row in rows:
        print(timing.line(*row))
    if options.json:
        atomic.write_json(options.json, [row._asdict() for row in rows])
    return 0


def peers() -> Any:
    """The module of PyTorch's side; None, and a line that says so, without torch."""
    try:
        from experiments.bench import _peers
    except ImportError:
        print("torch is not installed: the peer's columns are left out (pip install '.[bench]')")
        return None
    print(f"torch {_peers.torch.__version__}, {_peers.torch.get_num_threads()} threads")
    return _peers


if __name__ == "__main__":
    sys.exit(main())
