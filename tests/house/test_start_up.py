"""What a command costs before it does anything: nothing slow is imported until it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

VENDORS = ("sendgrid", "twilio", "urllib3")
SLOW = ("altair", "duckdb", "fastapi", "ibis", "numpy", "pandas", "prefect", "pyarrow", "scipy", "sqlalchemy", *VENDORS)


def loaded(program: str) -> set[str]:
    """Return which slow packages a program has imported when it ends."""
    watch = f"{program}\nimport sys\nprint(*(name for name in {SLOW!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_nothing_slow():
    program = "import sys\nfrom winback.cli.app import run_command\nassert run_command(['--help']) == 0"
    assert loaded(program) == set()


@pytest.mark.parametrize(
    "module", ["winback.night.run", "winback.sample.nights", "winback.cli.past_nights", "winback.cli.app"]
)
def test_a_night_needs_no_prefect(module):
    assert "prefect" not in loaded(f"import {module}")


def test_the_sender_needs_neither_prefect_nor_pandas():
    assert not loaded("import winback.night.deliver") & {"prefect", "pandas"}


def test_the_pages_need_neither_prefect_nor_pandas():
    modules = "winback.web.public_app, winback.web.operator_app, winback.web.http_server"
    assert not loaded(f"import {modules}") & {"prefect", "pandas"}


def test_the_local_outbox_needs_no_vendors_package():
    assert not loaded("import winback.night.deliver, winback.channels.registry") & set(VENDORS)


def test_the_watch_sees_an_import():
    assert loaded("import numpy") == {"numpy"}
