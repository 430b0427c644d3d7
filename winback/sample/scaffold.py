"""`winback init`: a project directory, empty for one's own data or with a simulated shop in it.

Everything is made beside the directory first and moved into it at the end, so a failed attempt leaves nothing behind;
a file that is there already is never touched.
"""

from __future__ import annotations

import random
import shutil
import string
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from winback.errors import UsageError
from winback.settings import CONFIG_FILE, data_directory

if TYPE_CHECKING:
    from datetime import date

EMPTY_FEEDS = {
    "contacts.csv": "customer_id,email,phone,first_name,last_name,locale,timezone,country,region,category\n",
    "consents.csv": "customer_id,channel,purpose,status,basis,recorded_at,source,wording\n",
    "orders.csv": "customer_id,occurred_at,event_id,amount\n",
}
COUPONS = 500
"""The sample has so many codes, and one more for every second customer."""
CODE_LETTERS = "".join(letter for letter in string.ascii_uppercase + string.digits if letter not in "ILO01")
"""Without those that are taken for each other."""
STARTING_POLICY = "marketplace.yaml"
STEADY_CUSTOMERS = 500
"""From this many customers on, a feed grows slowly enough for the usual bounds on its size."""


def scaffold(
    directory: Path,
    *,
    customers: int,
    ends_on: date,
    seed: int = 1,
    history_days: int | None = None,
    pace: float = 1.0,
) -> list[Path]:
    """Make a project directory and return the files in it.

    Parameters
    ----------
    directory : made if it does not exist; may hold other things, but no project
    customers : how many simulated customers; 0 makes an empty project for one's own data
    ends_on : the last business day of the simulated history, so a night of the day after passes every guard
    seed : another number makes another shop
    history_days, pace : length of the simulated history, and a factor on every usual gap; for measurements

    Returns
    -------
    paths relative to ``directory``

    Raises
    ------
    UsageError
        If the directory holds a project or a file that would have to be overwritten, or cannot be written.
    """
    if customers < 0:
        raise UsageError(f"a shop of {customers} customers cannot be: give 0 or more")
    directory = directory.expanduser()
    _refuse_project(directory)
    is_new = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".winback-init-", dir=directory) as made:
            root = Path(made)
            if customers:
                _make_sample(
                    root, customers=customers, ends_on=ends_on, seed=seed, history_days=history_days, pace=pace
                )
            else:
                _make_empty(root)
            return _move_in(root, directory)
    except OSError as problem:
        if is_new and directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
        raise UsageError(f"{directory} cannot be written: {problem}") from problem


def _refuse_project(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: name a directory that is new or empty")
    if (directory / CONFIG_FILE).exists():
        what = f"{directory} holds a project already ({CONFIG_FILE}): nothing was changed; name another directory"
        raise UsageError(what)


def _move_in(root: Path, directory: Path) -> list[Path]:
    """Move what was made into the directory, its winback.yaml last, and return the files."""
    entries = sorted(root.iterdir(), key=lambda entry: entry.name == CONFIG_FILE)
    taken = sorted(entry.name for entry in entries if (directory / entry.name).exists())
    if taken:
        what = f"{directory} has {', '.join(taken)} already: nothing was changed; name another directory"
        raise UsageError(what)
    files = sorted(file.relative_to(root) for file in root.rglob("*") if file.is_file())
    for entry in entries:
        entry.rename(directory / entry.name)
    return files


def _copy(kinds: tuple[str, ...], root: Path) -> None:
    for kind in kinds:
        shutil.copytree(data_directory() / kind, root / kind)


def _make_empty(root: Path) -> None:
    """Make a project that is sound and waits for its owner's data."""
    material = data_directory()
    _copy(("templates", "schemas"), root)
    examples = root / "policies" / "examples"
    shutil.copytree(material / "policies", examples)
    text = (examples / STARTING_POLICY).read_text(encoding="utf-8")
    (root / "policies" / STARTING_POLICY).write_text(text, encoding="utf-8")
    for file in examples.glob("*.yaml"):
        example = file.read_text(encoding="utf-8").replace("../schemas/", "../../schemas/", 1)
        file.write_text(example, encoding="utf-8")
    for name, header in EMPTY_FEEDS.items():
        (root / name).write_text(header, encoding="utf-8")
    for name in (CONFIG_FILE, "README.txt"):
        shutil.copyfile(material / "sample" / "empty" / name, root / name)


def _make_coupons(root: Path, *, count: int, seed: int) -> None:
    """Write the codes the sample's policies give out; like real ones they cannot be guessed from each other."""
    dice = random.Random(f"coupons of {seed}")  # noqa: S311  a made-up shop has no money behind its codes
    codes = sorted({"".join(dice.choices(CODE_LETTERS, k=8)) for _ in range(count)})
    (root / "coupons").mkdir()
    lines = "".join(f"{code[:4]}-{code[4:]}\n" for code in codes)
    (root / "coupons" / "thanks.csv").write_text(f"code\n{lines}", encoding="utf-8")


def _make_sample(
    root: Path, *, customers: int, ends_on: date, seed: int, history_days: int | None, pace: float
) -> None:
    """Make a project with a simulated shop."""
    from winback.sample.planted import HISTORY_DAYS  # noqa: PLC0415  an empty project needs no numpy
    from winback.sample.shop import found_shop  # noqa: PLC0415  an empty project needs no pandas

    material = data_directory()
    _copy(("templates", "schemas"), root)
    shutil.copytree(material / "sample" / "policies", root / "policies")
    _make_coupons(root, count=COUPONS + customers // 2, seed=seed)
    facts = {
        "$VOLUME": "[0.5, 2.0]" if customers >= STEADY_CUSTOMERS else "[0.02, 50.0]",
        "$CUSTOMERS": f"{customers:,}",
        "$ENDS_ON": str(ends_on),
        "$AS_OF": str(ends_on + timedelta(days=1)),
    }
    for name in (CONFIG_FILE, "README.txt"):
        text = (material / "sample" / name).read_text(encoding="utf-8")
        for key, value in facts.items():
            text = text.replace(key, value)
        (root / name).write_text(text, encoding="utf-8")
    days = HISTORY_DAYS if history_days is None else history_days
    found_shop(root, customers=customers, ends_on=ends_on, seed=seed, history_days=days, pace=pace)
