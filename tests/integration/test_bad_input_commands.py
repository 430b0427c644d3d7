"""Every command with something broken: what is wrong, what to do, the right exit code, and nothing half-written."""

import os
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from night_world import DAY, Shop, tree, winback

# Every command that needs a sound project, in a form that would otherwise do its work.
NIGHTS = [f"sync --as-of {DAY}", f"plan --as-of {DAY}", f"run --as-of {DAY} --allow-backdated"]
QUESTIONS = [f"decisions --as-of {DAY}", "messages", "explain c001", "preview survey --customer c001"]
ACTS = ["deliver", "settle", "suppress c001", "forget c001", "stop", "resume --reason x"]
ALL = [*NIGHTS, "apply plan.json", *QUESTIONS, *ACTS, "doctor", "check", "db upgrade", "db check"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Shop:
    """A shop whose night is planned, queued and delivered."""
    shop = Shop(tmp_path_factory.mktemp("made") / "shop", customers=30)
    shop.night()
    shop.do("plan", "--as-of", DAY, "--out", shop.root / "plan.json")
    return shop


@pytest.fixture
def shop(made, tmp_path) -> Shop:
    return made.copy(tmp_path / "shop")


def refused(shop, command: str, code: int) -> str:
    """Run a command that must fail and leave everything as it was; return what it says."""
    arguments = [str(shop.root / part) if part == "plan.json" else part for part in command.split()]
    before = state(shop)
    answered = shop.do("--json", *arguments, code=code)
    assert state(shop) == before, command
    said = answered.data
    text = said["error"] if "error" in said else str(said)
    assert said.get("exit_code", code) == code
    assert "unexpected" not in text, text
    assert "Traceback" not in answered.err
    return text


def state(shop) -> dict[str, str]:
    # A lock that was taken and given back, and the sidecars of an open database, hold nothing.
    files = tree(shop.root)
    return {name: value for name, value in files.items() if not name.endswith(("-wal", "-shm", ".lock"))}


@pytest.mark.parametrize("command", [one for one in ALL if not one.startswith("db ")])
def test_a_broken_configuration_is_named_with_its_line(shop, command):
    text = (shop.root / "winback.yaml").read_text()
    shop.write("winback.yaml", text.replace("timezone: Europe/Paris", "timezone: Europe/Pari", 1))
    said = refused(shop, command, 2)
    assert "winback.yaml:" in said or "'winback.yaml'" in said
    assert "Europe/Paris" in said


@pytest.mark.parametrize(
    "content",
    [
        "",
        "version: 1\n\tbusiness: {}\n",
        "[1, 2]",
        "version: 2\n",
        "version: 1\nversion: 1\n",
        b"\xff\xfe\x00",
        "a: &a [*a]\n",
    ],
)
def test_a_file_that_is_no_configuration_is_refused(shop, content):
    shop.write("winback.yaml", content)
    for command in (NIGHTS[2], "check", "explain c001"):
        assert "winback.yaml" in refused(shop, command, 2)


@pytest.mark.parametrize("command", ALL)
def test_a_directory_without_a_project_is_named(tmp_path, command):
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "missing", tmp_path / "empty" / "file"):
        if root.name == "file":
            root.write_text("")
        before = tree(tmp_path)
        answered = winback("--json", "--project", root, *command.split())
        assert answered.code == 2, answered.err
        assert tree(tmp_path) == before
        assert "winback.yaml" in answered.out.decode() or "plan.json" in answered.out.decode()


@pytest.mark.parametrize("command", [*NIGHTS, "apply plan.json", "deliver", "check", "doctor"])
def test_a_broken_policy_stops_before_any_data_is_touched(shop, command):
    text = (shop.root / "policies/winback.yaml").read_text()
    shop.write("policies/winback.yaml", text.replace("kind: survey", "kind: survye", 1))
    assert "policies/winback.yaml" in refused(shop, command, 2)


@pytest.mark.parametrize("command", [*NIGHTS[1:], "apply plan.json", "check", "doctor"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("survey.email.mjml", "<mjml><mj-body>{{ customer.first_nam }}</mj-body></mjml>", "survey.email.mjml"),
        ("survey.sms.liquid", "{% if %}", "survey.sms.liquid"),
        ("survey.sms.liquid", b"\xff\xfe", "survey.sms.liquid"),
    ],
)
def test_a_broken_template_stops_before_any_data_is_touched(shop, command, name, content, said):
    shop.write(f"templates/{name}", content)
    shop.add("orders.csv", f"c001,{DAY - timedelta(days=1)}T09:00:00Z,new,1")
    assert said in refused(shop, command, 2)


def test_missing_policies_and_templates_are_named(shop):
    for name in (*(shop.root / "policies").iterdir(),):
        name.unlink()
    assert "no policy found" in refused(shop, NIGHTS[2], 2)
    shop.policies(winback={})
    for name in (shop.root / "templates").iterdir():
        name.unlink()
    assert "survey" in refused(shop, NIGHTS[2], 2)
    (shop.root / "templates").rmdir()
    assert "templates" in refused(shop, NIGHTS[2], 2)


def test_a_folder_among_the_templates_is_no_fault(shop):
    (shop.root / "templates" / "drafts").mkdir()
    assert shop.do("--json", "plan", "--as-of", DAY).data["contacts"] == 30


def garbage(shop) -> None:
    for file in (shop.root / "var").glob("winback.db*"):
        file.unlink()
    shop.write("var/winback.db", b"this is no database, " * 1000)


def a_folder(shop) -> None:
    for file in (shop.root / "var").glob("winback.db*"):
        file.unlink()
    (shop.root / "var" / "winback.db").mkdir()


def a_newer_one(shop) -> None:
    with sqlite3.connect(shop.root / "var" / "winback.db") as connection:
        table = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%version%'").fetchone()[0]
        connection.execute(f"UPDATE {table} SET version_num = '9999'")
    connection.close()


NEEDING_A_LEDGER = [*NIGHTS, "apply plan.json", *QUESTIONS, *ACTS]


@pytest.mark.parametrize("damage", [garbage, a_folder, a_newer_one])
def test_a_database_that_cannot_be_used_is_named_and_left_alone(shop, damage):
    damage(shop)
    for command in NEEDING_A_LEDGER:
        said = refused(shop, command, 1)
        assert any(word in said for word in ("winback.db", "winback db upgrade", "database")), said
    assert "database" in [one["name"] for one in shop.do("--json", "doctor", code=1).data["checks"] if not one["ok"]]
    shop.do("--json", "db", "check", code=1)


def test_the_database_of_another_program_is_left_to_it(shop):
    for file in (shop.root / "var").glob("winback.db*"):
        file.unlink()
    with sqlite3.connect(shop.root / "var" / "winback.db") as connection:
        connection.execute("CREATE TABLE contacts (name TEXT)")
        connection.execute("INSERT INTO contacts VALUES ('theirs')")
    connection.close()
    for command in NEEDING_A_LEDGER:
        arguments = [str(shop.root / part) if part == "plan.json" else part for part in command.split()]
        assert "not winback's" in shop.do("--json", *arguments, code=1).data["error"]
    with sqlite3.connect(shop.root / "var" / "winback.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("contacts",)]
        assert connection.execute("SELECT name FROM contacts").fetchall() == [("theirs",)]
    connection.close()


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("nonsense", 2, "WINBACK_DATABASE_URL"),
        ("mysql://root@localhost/x", 2, "mysql"),
        ("sqlite://", 2, "memory"),
        ("postgresql+psycopg://winback:secret@127.0.0.1:1/none", 1, "cannot be used"),
        ("sqlite:////proc/nowhere/winback.db", 1, "/proc/nowhere"),
    ],
)
def test_a_database_url_that_leads_nowhere_is_explained_without_its_password(shop, url, code, said):
    shop.environment["WINBACK_DATABASE_URL"] = url
    for command in ("explain c001", NIGHTS[2], "deliver"):
        text = refused(shop, command, code)
        assert said in text
        assert "secret" not in text


def test_another_pepper_is_refused(shop):
    """With another secret nobody's refusal would be recognised."""
    shop.environment["WINBACK_PEPPER"] = "another"  # pragma: allowlist secret
    for command in (NIGHTS[2], "deliver", "suppress c001"):
        assert "WINBACK_PEPPER" in refused(shop, command, 4)


def test_a_secret_that_others_can_read_is_refused(shop):
    del shop.environment["WINBACK_PEPPER"]
    file = shop.write("var/pepper", "x" * 64)
    file.chmod(0o644)
    assert "chmod 600" in refused(shop, NIGHTS[2], 1)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"zone": 1}'])
def test_a_damaged_activity_store_is_named_and_left_alone(shop, content):
    shop.write("var/activity/manifest.json", content)
    for command in NIGHTS:
        assert "activity" in refused(shop, command, 1)
    assert "activity store" in [
        one["name"] for one in shop.do("--json", "doctor", code=1).data["checks"] if not one["ok"]
    ]


def test_another_business_zone_is_refused(shop):
    shop.configure(business=shop.config["business"] | {"timezone": "America/New_York"})
    assert "Europe/Paris" in refused(shop, NIGHTS[0], 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_cannot_be_written_is_named(tmp_path):
    shop = Shop(tmp_path / "shop", customers=3)
    shop.root.chmod(0o500)
    try:
        assert "writable" in refused(shop, NIGHTS[2], 1)
    finally:
        shop.root.chmod(0o700)


def test_a_file_where_the_state_should_be_is_named(tmp_path):
    shop = Shop(tmp_path / "shop", customers=3)
    shop.write("var", "a file")
    for command in (NIGHTS[2], "explain c001", "deliver"):
        assert str(shop.root / "var") in refused(shop, command, 1)


TOMORROW = datetime.now(tz=UTC).date() + timedelta(days=2)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run --as-of yesterday", "--as-of"),
        ("run --as-of 2026-02-30", "--as-of"),
        (f"run --as-of {TOMORROW}", "is in the future"),
        (f"decisions --as-of {TOMORROW}", "is in the future"),
        ("run --shards 0", "--shards"),
        ("run --shards 9999", "--shards"),
        ("run --confirm-count many", "--confirm-count"),
        ("runn", "run"),
        ("run --bogus", "--bogus"),
        ("run extra", "extra"),
        ("explain", "customer"),
        ("explain nobody", "unknown customer"),
        ("forget nobody", "unknown customer"),
        ("suppress nobody", "unknown customer"),
        ("preview survey --customer nobody", "nobody"),
        ("preview survye --customer c001", "survey"),
        ("preview survey --customer c001 --channel pigeon", "--channel"),
        ("messages --state sent", "no state"),
        ("messages --format xml", "--format"),
        ("resume", "--reason"),
        ("apply", "plan"),
        ("init", "directory"),
        ("db", ""),
    ],
)
def test_wrong_usage_is_answered_with_what_would_be_right(shop, command, said):
    if command == "db":
        assert winback("db").code == 0
        return
    assert said.lower() in refused(shop, command, 2).lower()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--horizon", "30", "--as-of", "2026-02-20", "--out", "{root}/out.csv", "{root}/none.csv"],
            1,
            "cannot be read",
        ),
        (
            ["--horizon", "30", "--as-of", "2026-02-20", "--out", "{root}/out.csv", "{root}/winback.yaml"],
            1,
            "customer_id",
        ),
        (["--horizon", "0", "--as-of", "2026-02-20", "--out", "{root}/out.csv", "{root}/events.csv"], 2, "horizon"),
        (["--horizon", "30", "--as-of", "2999-01-01", "--out", "{root}/out.csv", "{root}/events.csv"], 2, "future"),
        (["--horizon", "30", "--as-of", "1999-01-01", "--out", "{root}/out.csv", "{root}/events.csv"], 2, "1999-01-01"),
        (["--horizon", "30", "--as-of", "2026-02-20", "--out", "{root}/no/out.csv", "{root}/events.csv"], 2, "out.csv"),
        (["--horizon", "30", "--out", "{root}/out.csv", "{root}/events.csv"], 2, "as-of"),
    ],
)
def test_a_back_test_that_cannot_be_made_leaves_no_file(tmp_path, arguments, code, said):
    rows = [f"c{n},2026-0{1 + n % 3}-1{n % 7}" for n in range(40)]
    (tmp_path / "events.csv").write_text("customer_id,timestamp\n" + "\n".join(rows) + "\n")
    (tmp_path / "winback.yaml").write_text("version: 1\n")
    before = tree(tmp_path)
    answered = winback("--json", "backtest", *(part.format(root=tmp_path) for part in arguments))
    assert (answered.code, tree(tmp_path)) == (code, before), answered.err
    assert said in answered.data["error"]
    assert "unexpected" not in answered.data["error"]


@pytest.mark.parametrize(("sample", "target"), [(-1, "new"), (5, "file"), (5, "taken"), (5, "file/below")])
def test_a_project_that_cannot_be_made_leaves_nothing(tmp_path, sample, target):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "policies").mkdir()
    before = tree(tmp_path)
    answered = winback("--json", "init", tmp_path / target, "--sample", sample)
    assert answered.code == 2, answered.err
    assert tree(tmp_path) == before
