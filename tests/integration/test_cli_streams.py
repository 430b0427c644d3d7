"""What goes where: JSON on standard output, words on standard error, an exit code; and how little a start loads."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from night_world import CHECKOUT, DAY, Shop, winback

COMMANDS = (
    *("init", "doctor", "check", "sync", "plan", "apply", "run", "deliver", "settle", "decisions", "messages"),
    *("explain", "backtest", "preview", "suppress", "forget", "stop", "resume", "db upgrade", "db check"),
    *("measure", "db adopt", "audit verify"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("streams") / "shop")
    shop.night()
    return shop


def loaded(*arguments: object, environment=None) -> set[str]:
    """Run one command line in a fresh process and return which top-level modules it loaded."""
    program = (
        "import sys\n"
        "from winback.cli.app import run_command\n"
        "try:\n    code = run_command(sys.argv[1:])\n"
        "except SystemExit as ending:\n    code = ending.code\n"
        "print('\\n', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_help_loads_nothing_heavy():
    """The start of every command: half a second is gone with any of these."""
    modules = loaded("--help")
    assert "cyclopts" in modules
    assert not modules & {"pandas", "numpy", "pyarrow", "sqlalchemy", "prefect", "pydantic", "duckdb", "scipy", "yaml"}


def test_a_night_never_loads_prefect_and_a_delivery_no_pandas_either(shop, monkeypatch):
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    night = loaded("--project", shop.root, "run", "--as-of", DAY, "--allow-backdated")
    assert "pandas" in night
    assert "prefect" not in night
    delivery = loaded("--project", shop.root, "deliver")
    assert "sqlalchemy" in delivery
    assert not delivery & {"pandas", "numpy", "pyarrow", "prefect", "duckdb", "scipy", "alembic"}
    assert not loaded("--project", shop.root, "settle") & {"pandas", "prefect"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    answered = winback(*command.split(), "--help")
    assert answered.code == 0
    assert f"Usage: winback {command}" in answered.out.decode()
    assert "--json" in answered.out.decode()


def test_help_names_every_command_and_the_exit_codes():
    words = winback("--help").out.decode()
    for command in COMMANDS:
        assert f" {command.split()[0]} " in words
    assert "Exit codes:" in words


PLAN_KEYS = {"as_of", "plan_hash", "contacts", "decisions", "reasons", "steps", "channels", "cost", "guards"}
RUN_KEYS = {"run_id", "as_of", "contacts", "decisions", "reasons", "messages", "held", "seconds"}
SPOKEN = {
    "doctor": {"ok", "checks"},
    "check": {"ok", "errors"},
    f"sync --as-of {DAY}": {"sources"},
    f"plan --as-of {DAY}": PLAN_KEYS,
    f"run --as-of {DAY} --allow-backdated": RUN_KEYS,
    "deliver": {"messages"},
    "settle": {
        *("messages", "moved", "abandoned", "accepted_without_event", "events_without_row", "unknown_by_age"),
    },
    "explain c001": {"customer_id", "as_of", "action", "reason", "sentence", "steps", "history"},
    "preview survey --customer c001": {"characters", "segments", "price"},
    "suppress c002": {"new"},
    "stop": {"stopped"},
    "resume --reason done": {"stopped"},
    "forget c004": {"erased"},
    "db upgrade": {"ok", "version"},
    "db check": {"ok", "version"},
    "db adopt --reason restored": {"ok", "epoch", "file"},
    "audit verify": {"ok", "lines", "broken", "head"},
}


@pytest.mark.parametrize("command", SPOKEN)
def test_with_json_standard_output_is_json_and_without_it_is_empty(shop, tmp_path, command):
    mine = shop.copy(tmp_path / "shop")
    spoken = mine.do("--json", *command.split(), code=None)
    assert SPOKEN[command] <= spoken.data.keys()
    assert spoken.err == ""
    words = mine.do(*command.split(), code=None)
    assert words.out == b""
    assert words.err.strip()
    assert "unexpected" not in words.err
    quiet = mine.do("--quiet", *command.split(), code=None)
    assert (quiet.out, quiet.err) == (b"", "")
    assert spoken.code == words.code == quiet.code


SOURCE_KEYS = {"name", "read", "new", "quarantined", "max_occurred_at", "held"}


def test_a_sync_tells_of_each_source(shop, tmp_path):
    told = shop.copy(tmp_path / "shop").do("--json", "sync", "--as-of", DAY).data["sources"]
    assert [source["name"] for source in told] == ["contacts", "consents", "orders", "visits"]
    assert all(source.keys() >= SOURCE_KEYS for source in told)


def test_a_new_project_runs_its_first_night_today(tmp_path):
    made = winback("--json", "init", tmp_path / "shop", "--sample", 60)
    data = json.loads(made.out)
    assert (made.code, data["customers"]) == (0, 60)
    assert "winback.yaml" in data["files"]
    assert winback("--project", tmp_path / "shop", "check").code == 0
    report = winback("--project", tmp_path / "shop", "--json", "run")
    assert report.code == 0, report.err
    assert report.data["contacts"] == 60
    assert report.data["held"] == []
    assert winback("--project", tmp_path / "shop", "doctor").code == 0
    assert (tmp_path / "shop" / "var").stat().st_mode & 0o077 == 0


def test_nothing_is_made_over_what_is_there(shop):
    refused = winback("--json", "init", shop.root)
    assert refused.code == 2
    assert "holds a project already" in refused.data["error"]


def test_back_tests_are_written_where_they_are_wanted(tmp_path):
    events = tmp_path / "events.csv"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [f"c{n},{(start + timedelta(days=n % 7 + 9 * k)):%Y-%m-%d}" for n in range(40) for k in range(8)]
    events.write_text("customer_id,timestamp\n" + "\n".join(rows) + "\n")
    out = tmp_path / "scores.csv"
    arguments = ["backtest", events, "--horizon", 30, "--as-of", "2026-02-20", "--as-of", "2026-03-01", "--out", out]
    answered = winback("--json", *arguments)
    assert answered.code == 0, answered.err
    assert answered.data["rows"] == 80
    lines = out.read_text().splitlines()
    assert lines[0] == "customer_id,as_of,score,inactive,threshold_days"
    assert len(lines) == 81


def test_square_brackets_are_no_markup(tmp_path):
    shop = Shop(tmp_path / "[red]shop[/red]", customers=3)
    refused = shop.do("apply", shop.root / "[bold]plan[/x].json", code=2)
    assert "[bold]plan[/x].json" in refused.err
    shop.write("policies/bad.yaml", "version: [1\n")
    assert "policies/bad.yaml" in shop.do("check", code=2).err
    written = shop.do("plan", "--as-of", DAY, "--out", shop.root / "[a]plan.json", code=2)
    assert "[/" not in written.out.decode()
