import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

import terminal
from integrations.runtime import logs, postgres, settings, world
from service.kernel import actor, clock
from terminal import Run

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a running server, and the demo's people in its database."""
    data_dir = tmp_path_factory.mktemp("cli")
    with postgres.running(data_dir, fast_unsafe=True):
        yield data_dir


@pytest.fixture
def run(installed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Type a command; gives its status, what it printed, what it complained of."""
    yield terminal.over(installed, monkeypatch, capfd)
    logs.configure("critical")


def test_every_fault_of_the_settings_is_named_and_nothing_starts(run: Run) -> None:
    status, said, complaint = run("serve", CLOCK="sundial", LOCK_TIMEOUT_MS="soon", SMPT_URL="smtp://typo")

    assert (status, said) == (2, "")
    assert {line.split(":")[0].split(" ")[0] for line in complaint.splitlines()} == {
        "POBRATYM_CLOCK",
        "POBRATYM_LOCK_TIMEOUT_MS",
        "POBRATYM_SMPT_URL",
    }


def test_a_token_is_printed_alone_for_a_person_who_is_known(run: Run) -> None:
    assert run("demo", "--data-only")[0] == 0
    status, said, complaint = run("token", "mentor@lille.example")

    assert (status, complaint) == (0, "")
    assert len(said.strip().split(".")) == 3


def test_a_stranger_gets_no_token(run: Run) -> None:
    status, said, complaint = run("token", "nobody@nowhere.example")

    assert (status, said) == (1, "")
    assert complaint == "No active person has this address.\n"


def test_migrating_tells_the_schema(run: Run) -> None:
    status, said, _ = run("migrate")

    assert status == 0
    assert said.startswith("The schema is 20")


def test_the_doctor_finds_a_sound_installation_well(run: Run) -> None:
    run("migrate")
    status, said, _ = run("doctor", "--reports", "--json")

    assert status == 0
    subjects = {finding["subject"] for finding in json.loads(said)}
    ways = {"connection", "clock", "notices", "processes", "partitions", "housekeeping"}
    assert subjects == ways | {"zones", "mail", "database", "schema", "keys", "deliveries", "reports"}
    assert all(finding["is_well"] for finding in json.loads(said))


def test_the_doctor_says_what_is_ill_and_how_to_mend_it(run: Run) -> None:
    address = "postgresql://somebody:password-canary@127.0.0.1:1/nothing"
    status, said, complaint = run("doctor", DATABASE_URL=address, SECRET_KEYS=KEYS, OUTBOUND_ALLOW="127.0.0.1")

    assert status == 1
    assert "ILL   database: 127.0.0.1:1: nothing listens there (ConnectionRefusedError)\n" in said
    assert "ILL   outbound" in said
    assert "canary" not in said + complaint


@pytest.mark.parametrize("folder", ["/proc/x", "{tmp}/file", "{tmp}/file/x"])
def test_a_data_directory_that_cannot_be_made_is_a_sentence(run: Run, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    data_dir = folder.format(tmp=tmp_path)

    status, _, complaint = run("token", "x@y.example", DATA_DIR=data_dir)
    assert (status, complaint.count("\n")) == (1, 1)
    assert complaint.startswith(f"POBRATYM_DATA_DIR: {data_dir}/postgres cannot be made: ")

    status, said, _ = run("doctor", DATA_DIR=data_dir)
    assert status == 1
    assert f"ILL   database: {complaint}      Name a folder" in said


def test_a_database_by_address_is_migrated_by_the_operator_only(run: Run, installed: Path) -> None:
    _execute(installed, "CREATE DATABASE by_address")
    told = _named(installed, "by_address")

    status, _, complaint = run("token", "nobody@nowhere.example", **told)
    assert (status, "pobratym migrate" in complaint) == (1, True)
    assert run("migrate", **told)[0] == 0
    assert "No active person" in run("token", "nobody@nowhere.example", **told)[2]


def test_the_demo_walks_on_no_database_that_is_named(run: Run, named: dict[str, str]) -> None:
    assert run("migrate", **named)[0] == 0
    status, said, complaint = run("demo", "--once", **named)

    assert (status, said) == (2, "")
    assert complaint == (
        "POBRATYM_DATABASE_URL must be unset for `pobratym demo`, whose manual clock is for the embedded database"
        " only\n"
    )
    assert "No active person" in run("token", "mentor@lille.example", **named)[2]


def test_the_demos_data_can_be_loaded_into_a_database_that_is_named_at_the_systems_time(
    run: Run, named: dict[str, str], installed: Path
) -> None:
    assert run("migrate", **named)[0] == 0
    offset = installed / "clock-offset"
    offset.write_text("-864000")
    try:
        assert run("demo", "--data-only", **named)[0] == 0
        claims = run("token", "mentor@lille.example", **named)[1].split(".")[1]
    finally:
        offset.unlink()

    made = _execute(installed, "SELECT extract(epoch FROM max(created_at)) FROM person", named["DATABASE_URL"])
    assert made > json.loads(base64.urlsafe_b64decode(claims + "=="))["iat"] - 3600


COMMANDS = (
    ("migrate",),
    ("token", "nobody@nowhere.example"),
    ("init", "somebody@ministry.example"),
    ("serve", "--port", "0"),
    ("worker",),
    ("demo", "--data-only"),
    ("export", "{tmp}/out"),
    ("import", "people", "{tmp}/people.csv"),
    ("person", "export", "nobody@nowhere.example", "{tmp}/one.json"),
    ("person", "erase", "nobody@nowhere.example", "--yes"),
    ("report", "programme", "ua-imp"),
    ("log", "verify"),
    ("log", "anchor"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_database_that_does_not_answer_is_a_sentence(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "people.csv").write_text("email,display_name,zone,roles\nx@y.example,X,Europe/Kyiv,\n")
    address = "postgresql://somebody:password-canary@127.0.0.1:1/nothing"
    status, said, complaint = run(
        *(word.format(tmp=tmp_path) for word in words), DATABASE_URL=address, SECRET_KEYS=KEYS
    )

    assert (status, said) == (1, "")
    assert complaint == (
        "The database cannot be reached: 127.0.0.1:1: nothing listens there (ConnectionRefusedError). Is its server"
        " running? And is POBRATYM_DATABASE_URL right?\n"
    )


@pytest.mark.parametrize(
    ("database", "user", "said"),
    [
        ("nothing", "postgres", "it has no such database (InvalidCatalogNameError): "),
        ("by_somebody", "nobody", "it refuses this user or password (InvalidAuthorizationSpecificationError): "),
        ("by_somebody", "reader", "it refuses (InsufficientPrivilegeError): "),
        ("of_the_future", "postgres", "The database's schema is not known to this program: "),
    ],
)
def test_a_database_that_refuses_is_a_sentence(run: Run, installed: Path, database: str, user: str, said: str) -> None:
    for name in ("by_somebody", "of_the_future"):
        if not _execute(installed, f"SELECT count(*) FROM pg_database WHERE datname = '{name}'"):
            _execute(installed, f"CREATE DATABASE {name}")
    _execute(installed, "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    named = _named(installed, database, user)
    if database == "of_the_future":
        _execute(installed, "CREATE TABLE IF NOT EXISTS alembic_version (version_num text)", named["DATABASE_URL"])
        _execute(installed, "INSERT INTO alembic_version VALUES ('2099_01_01')", named["DATABASE_URL"])
    status, printed, complaint = run("migrate", **named)

    assert (status, printed) == (1, "")
    assert complaint.startswith("The database")
    assert said in complaint
    assert complaint.count("\n") == 1


def test_a_database_that_is_held_by_another_is_a_sentence(run: Run, named: dict[str, str]) -> None:
    assert run("migrate", **named)[0] == 0
    told = settings.Settings(database_url=SecretStr(named["DATABASE_URL"]))

    async def held() -> tuple[int, str, str]:
        async with world.opened(told) as opened, opened.engine.connect() as connection:
            await connection.execute(sa.text("LOCK TABLE person IN ACCESS EXCLUSIVE MODE"))
            return await asyncio.to_thread(run, "token", "x@y.example", LOCK_TIMEOUT_MS="100", **named)

    assert asyncio.run(held()) == (1, "", "The database went away, or was too busy: try again.\n")


def test_an_anchor_is_written_once_and_finds_a_log_that_was_cut(run: Run, tmp_path: Path) -> None:
    run("demo", "--data-only")
    anchor = tmp_path / "anchor.json"
    assert run("log", "anchor", "--out", str(anchor))[0] == 0
    assert run("log", "anchor", "--out", str(anchor))[:2] == (1, "")
    printed = json.loads(run("log", "anchor")[1])
    assert printed["heads"] == json.loads(anchor.read_text())["heads"]
    assert sorted(head["position"] for head in printed["heads"])[-3:] == [0, 1, 1]
    assert run("log", "verify", "--anchor", str(anchor))[0] == 0

    written = anchor.read_text().replace('"position": 1', '"position": 2')
    anchor.write_text(written)
    status, said, _ = run("log", "verify", "--anchor", str(anchor))
    assert (status, said.count("BROKEN at anchor")) == (1, 2)


def test_what_is_no_anchor_is_a_sentence(run: Run, tmp_path: Path) -> None:
    strange = tmp_path / "strange.json"
    strange.write_bytes(b"\xff{}")
    status, said, complaint = run("log", "verify", "--anchor", str(strange))
    assert (status, said, complaint) == (1, "", "This file is not what `pobratym log anchor` writes.\n")


def test_the_chains_of_a_sound_log_hold(run: Run) -> None:
    run("demo", "--data-only")
    status, said, _ = run("log", "verify", "--json")

    assert status == 0
    assert json.loads(said)
    assert all(line["ok"] for line in json.loads(said))
    assert "holds" in run("log", "verify")[1]


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    """Two hospitals that no other test of this database knows."""
    code = f"x-{clock.new_id().hex[-8:]}"
    path = tmp_path / "hospitals.csv"
    path.write_text(f"code,name,kind\n{code}-one,One,hospital\n{code}-two,=1+1,hospital\n", encoding="utf-8-sig")
    return path


def test_a_rehearsal_tells_and_does_nothing_and_then_the_file_is_taken_in_once(run: Run, hospitals: Path) -> None:
    run("migrate")
    rehearsal = run("import", "institutions", str(hospitals), "--dry-run", "--json")
    first = run("import", "institutions", str(hospitals))
    second = run("import", "institutions", str(hospitals), "--json")

    counts = {"added": 2, "changed": 0, "same": 0, "columns": []}
    assert json.loads(rehearsal[1]) == {"kind": "institutions", "dry_run": True, **counts, "warnings": []}
    assert first == (0, "2 institutions were added, 0 changed; 0 are as the file says.\n", "")
    assert json.loads(second[1])["same"] == 2


def test_a_file_with_faults_ends_with_one_and_names_each_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,display_name,zone,roles\nnobody,canary,Kyiv,\nx@y.example,X,Europe/Kyiv,mentor@no-where\n")
    status, said, complaint = run("import", "people", str(path))

    assert (status, said) == (1, "")
    assert complaint.splitlines()[0].startswith("row 2, column A, e-mail (email): ")
    assert complaint.endswith(": 2 fault(s), nothing was changed.\n")
    assert "canary" not in complaint
    told = json.loads(run("import", "people", str(path), "--json")[1])
    assert {fault["column"] for fault in told["errors"]} == {"email", "zone"}


def test_ft_24_faults_hide_no_warning(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,display_name,zone,roles\nnobody,Іван,Europe/Kyiv,\nx@y.example,Ð†Ð²Ð°Ð½,Europe/Kyiv,\n")
    complaint = run("import", "people", str(path), "--dry-run")[2].splitlines()
    assert complaint[1].startswith("Look at row 3, column B, name (display_name): looks read in a wrong encoding")
    told = json.loads(run("import", "people", str(path), "--dry-run", "--json")[1])
    assert ([fault["row"] for fault in told["errors"]], [each["row"] for each in told["warnings"]]) == ([2], [3])


def test_a_file_that_names_what_is_not_there_leaves_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,display_name,zone,roles\nx@y.example,X,Europe/Kyiv,mentor@no-where\n")
    assert run("import", "people", str(path))[2].startswith(
        "row 2, column D, roles: names a institution that is not there\n"
    )
    assert "No active person" in run("token", "x@y.example")[2]


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("weather", b"a", "There are these kinds: programmes"),
        ("people", b"%PDF-1.7", "is a file of another kind (PDF)"),
    ],
)
def test_what_is_no_such_file_is_said_in_a_sentence(
    run: Run, tmp_path: Path, kind: str, content: bytes, said: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    status, _, complaint = run("import", kind, str(path))
    assert status == 1
    assert said in complaint


def test_ft_24_the_operator_is_told_in_their_language_and_by_the_letter_of_the_column(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("Пошта;Ім'я;Часовий пояс;Ролі\r\nx@y.example;X;Europe/Kyiv;mentor@no-where\r\n".encode("cp1251"))
    expected = "рядок 2, стовпець D, ролі (roles): називає те, чого немає (заклад"
    assert run("import", "people", str(path), "--lang", "uk")[2].startswith(expected)
    assert "is not there" in run("import", "people", str(path), "--lang", "en")[2]


def test_ft_25_a_file_that_changes_most_rows_asks_first_and_a_dry_run_shows_what(run: Run, tmp_path: Path) -> None:
    run("migrate")
    name, path = clock.new_id().hex[-8:], tmp_path / "sources.csv"
    head, rows = "code,kind,aliases", [f"{name}-{place},hospital,00{place}" for place in range(5)]
    path.write_text("\n".join([head, *rows]))
    assert run("import", "institutions", str(path))[0] == 0
    path.write_text("\n".join([head, *(row.replace(",00", ",") for row in rows)]))
    status, said, complaint = run("import", "institutions", str(path))
    assert (status, said) == (1, "")
    assert "This file would change 5 of 5 rows that are there already." in complaint
    assert "row 2: was 000, now 0" in complaint
    rehearsal = run("import", "institutions", str(path), "--dry-run")[1].splitlines()
    assert rehearsal[0] == "0 institutions would be added, 5 changed; 0 are as the file says."
    assert rehearsal[1].strip() == "other names (aliases): 5 changed"
    assert len(rehearsal) == 5
    assert run("import", "institutions", str(path), "--yes")[0] == 0
    assert json.loads(run("import", "institutions", str(path), "--json")[1])["same"] == 5


def test_ft_26_a_name_that_looks_damaged_is_not_taken_in_unseen(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "damaged.csv"
    path.write_text(f"code,name,kind\n{clock.new_id().hex[-8:]},Р›С–РєР°СЂРЅСЏ,hospital\n", "utf-8")
    status, _, complaint = run("import", "institutions", str(path))
    assert status == 1
    assert "was “Лікарня” meant?" in complaint
    assert run("import", "institutions", str(path), "--yes")[0] == 0


def test_ft_25_a_table_is_written_as_a_workbook_and_taken_in_again(run: Run, hospitals: Path, tmp_path: Path) -> None:
    run("import", "institutions", str(hospitals))
    path = tmp_path / "institutions.xlsx"
    assert run("export", "institutions", str(path))[0] == 0
    taken = json.loads(run("import", "institutions", str(path), "--json", "--yes")[1])
    assert (taken["added"], taken["changed"]) == (0, 0)
    assert taken["same"] >= 2
    assert "File exists" in run("export", "institutions", str(path))[2]
    assert run("export", str(tmp_path / "books"), "--format", "xlsx")[0] == 0
    assert (tmp_path / "books" / "read-only" / "log.xlsx").exists()
    assert "There are these forms" in run("export", str(tmp_path / "x"), "--format", "ods")[2]


def test_analysts_are_given_a_subject_as_parquet(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, none = tmp_path / "sessions.parquet", tmp_path / "none.parquet"
    assert [run("export", "sessions", str(path))[0] == 0 for _ in range(2)] == [True, False]  # nothing is overwritten
    assert run("export", "people", str(none))[2].endswith("one of: sessions, activities, consultations.\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'pobratym[parquet]'" in run("export", "sessions", str(none))[2]


def test_ft_24_a_foreign_register_comes_in_by_a_mapping(run: Run, tmp_path: Path) -> None:
    code, path = clock.new_id().hex[-8:].upper(), tmp_path / "nucc.csv"
    path.write_text(f"Code,Display Name,Section,Definition\n{code},A physician,Individual,x\n")
    assert run("import", "specialties", str(path), "--map", "nucc")[1].startswith("1 specialties were added")
    own = tmp_path / "own.toml"
    own.write_text('kind = "specialties"\n[columns]\nCode = "code"\n[constants]\nname_en = "N"\nname_uk = "N"\n')
    complaint = run("import", "specialties", str(path), "--map", str(own), "--dry-run")[2]
    assert "“Section” is no column of this mapping, and was not taken" in complaint
    assert "no ready one of this name: nucc, ror" in run("import", "specialties", str(path), "--map", "x")[2]
    assert "This mapping is for institutions." in run("import", "specialties", str(path), "--map", "ror")[2]
    own.write_text("kind")
    assert "is no TOML" in run("import", "specialties", str(path), "--map", str(own))[2]


def test_everything_is_written_into_an_empty_folder_and_not_over_another(
    run: Run, hospitals: Path, tmp_path: Path
) -> None:
    run("import", "institutions", str(hospitals))
    folder = tmp_path / "out"
    status, said, _ = run("export", str(folder))

    assert status == 0
    assert "institutions" in said
    assert "-two,'=1+1," in (folder / "institutions.csv").read_text()
    assert (folder / "read-only" / "log.csv").exists()
    assert "is not empty" in run("export", str(folder))[2] or "File exists" in run("export", str(folder))[2]
    assert "No programme" in run("export", str(tmp_path / "other"), "--programme", "nowhere")[2]
    assert json.loads(run("export", str(tmp_path / "third"), "--json")[1])["rows"]["institutions"] >= 2


def test_one_person_is_given_out_and_taken_out(run: Run, tmp_path: Path) -> None:
    run("demo", "--data-only")
    file = tmp_path / "one.json"
    who = "mentor@gustave-roussy.example"

    assert run("person", "export", who, str(file))[0] == 0
    assert json.loads(file.read_text())["person"]["email"] == who
    assert file.stat().st_mode & 0o077 == 0
    assert "File exists" in run("person", "export", who, str(file))[2]
    assert run("person", "erase", who, "--yes")[0] == 0
    assert run("person", "erase", who, "--yes")[2] == "Nobody has this address.\n"
    assert run("person", "export", who, str(file))[2] == "Nobody has this address.\n"


def test_the_report_of_a_memorandum_is_printed_as_a_table_and_in_json(run: Run, installed: Path) -> None:
    run("demo", "--data-only")
    memorandum = _first_memorandum(installed)
    period = ("--from", "2026-01-01", "--until", "2026-07-01", "--zone", "Europe/Kyiv")
    status, said, complaint = run("report", "memorandum", memorandum, *period, "--json")
    told = json.loads(said)

    assert (status, complaint) == (0, "")
    assert (told["id"], told["from"], told["until"]) == (memorandum, "2026-01-01", "2026-07-01")
    status, table, complaint = run("report", "memorandum", memorandum, *period)
    assert (status, complaint) == (0, "")
    assert table.splitlines()[0] == f"memorandum {memorandum}, 2026-01-01 until 2026-07-01 in Europe/Kyiv"
    assert [figure["name"] for figure in told["figures"]] == [
        line.split()[0] for line in table.splitlines()[1:] if not line.startswith("    ")
    ]


def test_a_report_is_written_as_any_file(run: Run, installed: Path, tmp_path: Path) -> None:
    run("demo", "--data-only")
    memorandum = _first_memorandum(installed)
    begins = {"json": b'{"kind":"memorandum"', "csv": b"\xef\xbb\xbfrecord,figure", "xlsx": b"PK", "pdf": b"%PDF-"}
    for form, begin in begins.items():
        path = tmp_path / f"report.{form}"
        assert run("report", "memorandum", memorandum, "--format", form, "-o", str(path)) == (0, "", "")
        assert path.read_bytes().startswith(begin)
    status, said, complaint = run("report", "memorandum", memorandum, "--format", "csv")
    assert (status, complaint) == (0, "")
    assert "hours_to_answer" in said
    assert run("report", "programme", "ua-imp", "--format", "json")[1].startswith('{"kind":"programme"')
    assert "name a file by -o" in run("report", "memorandum", memorandum, "--format", "pdf")[2]
    assert "No such file" in run("report", "memorandum", memorandum, "-o", f"{tmp_path}/missing/x")[2]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("00000000-0000-7000-8000-000000000000",), "No memorandum has this id or code.\n"),
        (("00000000-0000-7000-8000-000000000000", "--zone", "Mars/Olympus"), "no name of a zone"),
    ],
)
def test_a_report_of_nothing_known_is_a_sentence(run: Run, words: tuple[str, ...], complaint: str) -> None:
    status, said, complained = run("report", "memorandum", *words)

    assert (status, said) == (1, "")
    assert complaint in complained
    assert "Traceback" not in complained


def _named(data_dir: Path, database: str, user: str = "postgres") -> dict[str, str]:
    """Give the settings that name a database of our server by its address, as an operator's are."""
    with postgres.running(data_dir) as server:
        address = f"postgresql://{user}@/{database}?host={server.socket_folder}"
    return {"DATABASE_URL": address, "SECRET_KEYS": KEYS}


@pytest.fixture
def named(installed: Path) -> dict[str, str]:
    """An empty database that is named by its address."""
    name = f"named_{clock.new_id().hex}"
    _execute(installed, f"CREATE DATABASE {name}")
    return _named(installed, name)


def _execute(data_dir: Path, sql: str, address: str | None = None) -> Any:  # noqa: ANN401 - a value of the first row
    """Run a statement on the embedded database, or on the one of this address; gives the value it found, if any."""
    told = settings.Settings(data_dir=data_dir, database_url=SecretStr(address) if address else None)

    async def execute() -> Any:  # noqa: ANN401 - as above
        async with world.opened(told, migrating=address is None) as opened:
            engine = opened.engine.execution_options(isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                found = await connection.execute(sa.text(sql))
                return found.scalar() if found.returns_rows else None

    return asyncio.run(execute())


def _first_memorandum(data_dir: Path) -> str:
    async def first() -> str:
        async with (
            world.opened(settings.Settings(data_dir=data_dir)) as opened,
            opened.database.work(actor.TIMER) as w,
        ):
            return str((await w.sql(sa.text("SELECT id FROM memorandum ORDER BY id LIMIT 1"))).scalar_one())

    return asyncio.run(first())
