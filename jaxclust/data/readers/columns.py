"""What the columns of a table are for, by their names and by the kind of their values."""

import re
from collections import Counter
from typing import Any, NamedTuple

from jaxclust.data.readers import arrow
from jaxclust.data.readers.arrow import Table
from jaxclust.errors import InputError

CLASSES = ("label", "labels", "class", "target")  # in any case
SPLIT = "split"
COUNTERS = ("", "unnamed: 0", "index")  # names of a first column that may merely count the rows
NAMES = ("id", "uuid", "guid", "name", "file", "filename", "path", "filepath", "image", "url", "uri")
NAME_ENDS = ("_id", "_name", "_file", "_path", "_url", "_uri")
VECTORS = ("features", "feature", "embedding", "embeddings", "vector", "vectors")  # which of several columns of lists
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # cells without a number, in lower case
LOOKED_AT = 1000  # cells of a column, among which one has a value
NUMBER, TEXT, NAME, LIST = "numbers", "text", "names", "lists of numbers"
FILES = "files"  # as data sets of Hugging Face hold them; kinds of values, beside those of no use

_WRITTEN_NUMBER = re.compile(r"[-+$€£(]?\s*\d[\d_,.' ]*\s*%?\)?")  # 0,5 and 1_000 and 12 %: meant as numbers
_WRITTEN_LIST = re.compile(r"[\[(]\s*[-+.\d]")  # [0.1, 0.2] and [0.1 0.2]


class Roles(NamedTuple):
    """Names of the columns by what they are for.

    features: of numbers; or of lists of numbers, then one.  lists: whether it is.
    classes, split: or None.  counter: the first column, if it may merely count the rows.
    names: those that may name the examples, the likeliest first.
    words: those of text whose name does not tell that they are.
    aside: those that are left out, by the kind of their values.
    """

    features: list[str]
    lists: bool
    classes: str | None
    split: str | None
    counter: str | None
    names: list[str]
    words: list[str]
    aside: dict[str, str]

    @property
    def texts(self) -> list[str]:
        """The columns that are read as text."""
        single = [name for name in (self.classes, self.split, self.counter) if name is not None]
        return [*single, *self.names]


def roles(table: Table) -> Roles:
    """What each column is for. Raises InputError for names that are missing or twice there, and for unclear lists."""
    path, names = table.path, list(table.names)
    _check_names(table)
    plain = {name: name.strip().casefold() for name in names}
    classes = [name for name in names if plain[name] in CLASSES]
    splits = [name for name in names if plain[name] == SPLIT]
    for found, what in ((classes, "the classes"), (splits, "the split")):
        if len(found) > 1:
            raise InputError(
                f"{path}: the columns {_quoted(found)} could all be {what}: keep one, or rename the others"
            )
    counter = names[0] if plain[names[0]] in COUNTERS else None
    others = [name for name in names if name not in (*classes, *splits, counter)]
    for name in others:
        if not plain[name]:
            place = names.index(name) + 1
            raise InputError(f"{path}: column {place} has no name: name it, or drop it (a comma at each row's end?)")
    kinds = _kinds(table, others)
    named = [name for name in others if kinds[name] == NAME]
    words = [name for name in others if kinds[name] == TEXT]
    features = [name for name, kind in kinds.items() if kind == NUMBER]
    aside = {name: kind for name, kind in kinds.items() if kind not in (NUMBER, LIST)}
    lists = _list(table, [name for name, kind in kinds.items() if kind == LIST])
    if lists is not None:
        aside |= {name: kind for name, kind in kinds.items() if kind in (NUMBER, LIST) and name != lists}
        features = [lists]
    return Roles(
        features,
        lists is not None,
        classes[0] if classes else None,
        splits[0] if splits else None,
        counter,
        named or words[:1],
        words,
        aside,
    )


def _list(table: Table, lists: list[str]) -> str | None:
    """The column of lists that is the features. Raises InputError where several could be."""
    if len(lists) > 1:
        lists = [name for name in lists if name.strip().casefold() in VECTORS] or lists
    if len(lists) > 1:
        raise InputError(
            f"{table.path}: the columns {_quoted(lists)} hold lists of numbers: keep one, or call it 'features'"
        )
    return lists[0] if lists else None


def _check_names(table: Table) -> None:
    path, names = table.path, table.names
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{path}: {called(name)} is there {times} times: rename or drop one")
    if table.types is not None:
        return
    marks, wanted = (";|,", "tabs") if arrow.is_tsv(path) else (";|\t", "commas, or save it as .tsv with tabs")
    if len(names) == 1 and any(mark in names[0] for mark in marks):
        raise InputError(f"{path}: the header is one name ({names[0][:40]!r}): separate names and cells by {wanted}")
    numbered = [str(i) for i in range(len(names))]  # the names that pandas gives
    if all(is_number(name) for name in names) and list(names) != numbered:
        raise InputError(
            f"{path}: the first row holds numbers ({', '.join(names[:3])[:40]}) where the columns' names should be: "
            "put a row of names before it"
        )


def _kinds(table: Table, names: list[str]) -> dict[str, str]:
    """The kind of each column's values: by its type, or where cells are text by the first that has a value.

    Numbers and text of a column that is called as names are, are names.
    """
    found = {}
    for name in names:
        kind = TEXT if table.types is None else _kind(table, name, table.types[name])
        plain = name.strip().casefold()
        is_name = kind in (NUMBER, TEXT) and (plain in NAMES or plain.endswith(NAME_ENDS))
        found[name] = NAME if is_name else kind
    unclear = [name for name in names if found[name] == TEXT]
    cells = _first_cells(table, unclear)
    for name in unclear:
        if _WRITTEN_LIST.match(cells[name]):
            raise InputError(
                f"{table.path}: {called(name)} holds lists as text, {cells[name][:40]!r}: write one number a column, "
                "or lists into a .parquet file"
            )
        if table.types is None and (not cells[name] or looks_numeric(cells[name])):
            found[name] = NUMBER
    return found


def _kind(table: Table, name: str, kind: Any) -> str:
    import pyarrow.types as pt

    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return TEXT
    if is_list(kind):
        inner = kind.value_type
        if is_list(inner):
            raise InputError(
                f"{table.path}: {called(name)} holds lists of lists: give each row one list of numbers, or drop it"
            )
        return LIST if _is_numeric(inner) or pt.is_null(inner) else f"lists of type {inner}"
    if pt.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return FILES
    if pt.is_null(kind):
        return "no values"
    return NUMBER if _is_numeric(kind) else f"values of type {str(kind)[:40]}"


def is_list(kind: Any) -> bool:
    """Whether a type of pyarrow is one of its lists."""
    import pyarrow.types as pt

    return any(getattr(pt, f"is_{name}")(kind) for name in ("list", "large_list", "fixed_size_list", "list_view"))


def _is_numeric(kind: Any) -> bool:
    import pyarrow.types as pt

    return any(getattr(pt, f"is_{name}")(kind) for name in ("boolean", "integer", "floating", "decimal"))


def _first_cells(table: Table, names: list[str]) -> dict[str, str]:
    """The first value of each column of text, trimmed; '' where the first cells have none."""
    found = dict.fromkeys(names, "")
    if not names:
        return found
    batch = next(table.batches(names), None)
    if batch is None:
        return found
    for name in names:
        for cell in batch.column(name).slice(0, LOOKED_AT):
            text = str(cell.as_py() or "").strip()
            if text.lower() not in MISSING:
                found[name] = text
                break
    return found


def is_number(text: str) -> bool:
    """Whether a cell is a number as Python writes it, without '_'."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def looks_numeric(text: str) -> bool:
    """Whether a cell is a number, or meant as one: 0,5 and 1_000 and 12 %."""
    return is_number(text) or bool(_WRITTEN_NUMBER.fullmatch(text))


def called(name: str) -> str:
    """A column in an error."""
    return f"column {name!r}" if name.strip() else "the column without a name"


def _quoted(names: list[str]) -> str:
    return " and ".join(map(repr, names))
