"""What commands print: short tables of plain text, and notes."""

import logging
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCORES = (("acc", "ACC"), ("acc_labelled", "ACC without noise"), ("nmi", "NMI"), ("ari", "ARI"))


@contextmanager
def plain_log() -> Iterator[None]:
    """Within it the package's log is plain lines on standard error, whatever handlers other packages have set up."""
    log, handler = logging.getLogger("jaxclust"), logging.StreamHandler(sys.stderr)
    before = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before


def columns(rows: Iterable[Sequence[Any]], indent: str = "") -> str:
    """Rows with their columns aligned."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in texts)
    return "\n".join(indent + line.rstrip() for line in lines)


def run_table(metrics: Mapping[str, Any], out: Path) -> str:
    """The end of `fit`: what was found, scores, seconds, and where it all is."""
    found, effective = metrics["n_clusters"], metrics["effective_clusters"]
    unclear = "; not clear ones" if metrics.get("clear") is False else ""
    rows: list[tuple[str, str]] = [
        (
            "clusters",
            (str(found) if found == effective else f"{found}, of which {effective} hold 1% or more") + unclear,
        ),
        ("noise", f"{100 * metrics['noise_fraction']:.1f}%"),
    ]
    if metrics["latent_dim"] is not None:
        rows.insert(1, ("latent size", _latent(metrics["latent_dim"], metrics["expert_latent_dims"])))
    if metrics["summary"].get("ended"):
        rows.append(("training", f"ended early: {metrics['summary']['ended']}"))
    ambiguity = metrics["summary"].get("l_sp") or []
    if len(ambiguity) > 1:
        spread = f"mean {statistics.fmean(ambiguity):.3g} ± {statistics.stdev(ambiguity):.2g}"
        rows.append(("restarts", f"{len(ambiguity)}; kept the one with L_sp {min(ambiguity):.3g} ({spread})"))
    rows += score_rows(metrics)
    rows += [(f"  {name}", f"{seconds:.1f} s") for name, seconds in metrics["phases"].items()]
    rows += [("in all", f"{metrics['seconds']:.1f} s"), ("run", str(out))]
    if (out / "clusters.csv").is_file():
        rows.append(("clusters, one by one", str(out / "clusters.csv")))
    if (out / "report.html").is_file():
        rows.append(("page", str(out / "report.html")))
    return "\n" + columns(rows)


def score_rows(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Scores by name; those against classes only where they are known."""
    rows = [("silhouette", f"{scores['silhouette']:.3f}")] if scores.get("silhouette") is not None else []
    for key, title in SCORES:
        if scores.get(key) is not None and (key != "acc_labelled" or scores.get("noise_fraction")):
            rows.append((title, f"{100 * scores[key]:.1f}%"))
    return rows


def _latent(whole: int, experts: Sequence[int] | None) -> str:
    if not experts:
        return str(whole)
    sizes = str(experts[0]) if len(set(experts)) == 1 else " ".join(map(str, experts))
    return f"{whole}; experts {sizes}"
