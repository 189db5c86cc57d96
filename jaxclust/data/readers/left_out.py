"""What a folder holds beside what was read from it: noticed, counted in one line, listed with the reasons."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

OTHER_KIND = "of a kind that is not read here"
TWICE = "there already as"
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
    """What was left out, as '18 files of kinds that are not read here (12 .nef, 6 .txt), 1 that cannot be read (why)'."""
    foreign = [file for file, reason in skipped if reason == OTHER_KIND]
    parts = []
    if foreign:
        kinds = Counter(Path(file).suffix.lower() or "without suffix" for file in foreign).most_common()
        counts = [f"{times} {kind}" for kind, times in kinds[:SHOWN]]
        if kinds[SHOWN:]:
            counts.append(f"{sum(times for _, times in kinds[SHOWN:])} others")
        what = "file of a kind that is" if len(foreign) == 1 else "files of kinds that are"
        parts.append(f"{len(foreign)} {what} not read here ({', '.join(counts)})")
    twice = [file for file, reason in skipped if reason.startswith(TWICE)]
    if twice:
        parts.append(f"{len(twice)} that {'is' if len(twice) == 1 else 'are'} there already by another path")
    bad = Counter(reason for _, reason in skipped if reason != OTHER_KIND and not reason.startswith(TWICE))
    if bad:
        parts.append(f"{bad.total()} that cannot be read ({'first: ' if len(bad) > 1 else ''}{next(iter(bad))})")
    return ", ".join(parts)
