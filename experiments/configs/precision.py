"""Networks in bfloat16, as on TPUs and GPUs, beside float32: digits, preset quick, K given, five seeds.

    python -m experiments.run precision
    python -m experiments.precision

Hardware: 2 CPU cores, about one to four minutes a run; a CPU may be slower in bfloat16.
cm has no networks: its products are float32 on every device (experiments.bench.aot looks at them).
"""

from experiments.configs import Row

FIVE = (0, 1, 2, 3, 4)
PRECISIONS = ("float32", "bfloat16")
METHODS = ("moe-vae", "hrwae-gan", "ae-cm", "vc", "hc-mgan")


def row(method: str, precision: str) -> Row:
    """A method's preset quick on digits, K given."""
    overrides = {"n_clusters": 10, "precision": precision}
    return Row(f"{method.replace('-', '_')}_digits_given_{precision}", method, "digits", "quick", overrides, FIVE, {})


ROWS = tuple(row(method, precision) for method in METHODS for precision in PRECISIONS)
