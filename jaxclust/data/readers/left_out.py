"""What a folder holds beside what was read from it: noticed, counted in one line, listed with the reasons."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

OTHER_KIND = "of a kind that is not read here"
ARRAY = "an array: give its file, or a folder of arrays alone"
SHOWN = 5  # kinds of files that the line counts one by one


def others(root: Path, used: Iterable[Path]) -> tuple[tuple[str, str], ...]:
    """The files below `root` that are not among `used`, hidden ones aside, relative to it, each with the reason."""
    known, found = set(map(os.fspath, used)), []
    for directory, folders, names in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        paths = (os.path.join(directory, name) for name in names if not name.startswith("."))
        found += [Path(path).relative_to(root) for path in paths if path not in known]
    return tuple((path.as_posix(), OTHER_KIND) for path in sorted(found, key=lambda path: path.parts))


def line(skipped: Sequence[tuple[str, str]]) -> str:
    """What was left out, counted by suffix: left out 18 files (12 .heic, 6 .txt), the first 'IMG_1.heic': REASON."""
    kinds = Counter(Path(file).suffix.lower() or "without suffix" for file, _ in skipped).most_common()
    counts = [f"{times} {kind}" for kind, times in kinds[:SHOWN]]
    if kinds[SHOWN:]:
        counts.append(f"{sum(times for _, times in kinds[SHOWN:])} others")
    file, reason = skipped[0]
    first = f"{'' if len(skipped) == 1 else 'the first '}{file!r}: {reason}"
    return f"left out {len(skipped)} file{'s' * (len(skipped) > 1)} ({', '.join(counts)}), {first}"
