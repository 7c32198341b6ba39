"""What the schema needs beyond tables: it runs before and after `metadata.create_all`, and in the first migration."""

from service.rules import case_numbers
from service.tables.delivery import APPEND_ONLY

BEFORE = ("CREATE EXTENSION IF NOT EXISTS btree_gist",)
"""An exclusion constraint compares a uuid in a GiST index."""

_REFUSE = """\
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit' AND current_setting('pobratym.retention', true) = 'over' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$"""

_OPENED = "SELECT c.programme_id, c.opened_at FROM consultation c WHERE c.opened_at IS NOT NULL AND c.id = "
_MARKED: dict[str, tuple[str | None, list[str]]] = {
    "consultation": (
        "programme_id, opened_at, answer_due_at, priority, state, closed_at",
        ["SELECT {row}.programme_id, {row}.opened_at WHERE {row}.opened_at IS NOT NULL"],
    ),
    "offer": (
        (
            "memorandum_id, consultation_id, mentor_id, wave, state, sent_at, answered_at, counter_starts,"
            " decline_reason, is_undelivered"
        ),
        [
            "SELECT m.programme_id, {row}.sent_at FROM memorandum m WHERE m.id = {row}.memorandum_id",
            f"{_OPENED}{{row}}.consultation_id",
        ],
    ),
    "participant": (
        "offer_id",
        [
            (
                "SELECT c.programme_id, c.opened_at FROM consultation c JOIN appointment a ON a.consultation_id = c.id "
                "WHERE c.opened_at IS NOT NULL AND a.id = {row}.appointment_id"
            )
        ],
    ),
    "session": (
        None,
        ["SELECT {row}.programme_id, {row}.started_at", f"{_OPENED}{{row}}.consultation_id"],
    ),
    "feedback": (
        "session_id, side, is_useful, patient_outcome",
        ["SELECT s.programme_id, s.started_at FROM session s WHERE s.id = {row}.session_id"],
    ),
}
"""The columns that reports count (None: all), and at which instants of which programme a row counts (see `rollups`)."""


def _marking(table: str) -> tuple[str, ...]:
    counted, instants = _MARKED[table]
    selects = "\n        UNION ALL ".join(instants)
    insert = f"INSERT INTO report_mark (programme_id, at)\n        {selects}"
    function = (
        f"CREATE FUNCTION mark_{table}() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        "BEGIN\n"
        f"    IF TG_OP <> 'INSERT' THEN\n        {insert.format(row='OLD')};\n    END IF;\n"
        f"    IF TG_OP <> 'DELETE' THEN\n        {insert.format(row='NEW')};\n    END IF;\n"
        "    RETURN NULL;\n"
        "END\n$$"
    )
    columns = f" OF {counted}" if counted else ""
    trigger = (
        f"CREATE TRIGGER tg_{table}_marks AFTER INSERT OR DELETE OR UPDATE{columns} ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION mark_{table}()"
    )
    return function, trigger


_VOID_ROLLUPS = (
    """\
CREATE FUNCTION void_marked_rollups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM report_rollup r
    USING (SELECT programme_id, min(at) AS first_at, max(at) AS last_at FROM taken GROUP BY programme_id) t
    WHERE r.programme_id = t.programme_id AND r.from_at <= t.last_at AND r.until_at > t.first_at;
    DELETE FROM report_piece p
    USING (SELECT programme_id, min(at) AS first_at, max(at) AS last_at FROM taken GROUP BY programme_id) t
    WHERE p.programme_id = t.programme_id AND p.from_at <= t.last_at AND p.until_at > t.first_at;
    RETURN NULL;
END
$$""",
    """\
CREATE TRIGGER tg_report_mark_taken AFTER DELETE ON report_mark REFERENCING OLD TABLE AS taken
FOR EACH STATEMENT EXECUTE FUNCTION void_marked_rollups()""",
)
"""Deleting marks deletes the rollups of their instants too, which programs of any version have counted. Marks are
deleted a week at a time, so every rollup between the first and the last of them counts as marked."""

_OF_A_PERSON = "SELECT person_id FROM changed"  # mentor or not: one who becomes a mentor now is not visible yet
_OF_THE_REGISTRY = "SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed"
_ALWAYS = ("INSERT", "UPDATE", "DELETE")
_CONCERNED: dict[str, tuple[str, tuple[str, ...]]] = {
    "mentor_profile": (_OF_A_PERSON, _ALWAYS),
    "mentor_specialty": (_OF_A_PERSON, _ALWAYS),
    "weekly_hours": (_OF_A_PERSON, _ALWAYS),
    "availability_exception": (_OF_A_PERSON, _ALWAYS),
    "person_language": (_OF_A_PERSON, _ALWAYS),
    "seat": (_OF_A_PERSON, _ALWAYS),
    "offer": ("SELECT mentor_id FROM changed", _ALWAYS),
    "participant": (_OF_A_PERSON, _ALWAYS),
    "appointment": (
        "SELECT t.person_id FROM changed JOIN participant t ON t.appointment_id = changed.id AND t.role = 'mentor'",
        ("UPDATE",),
    ),
    "person": ("SELECT id FROM changed", ("UPDATE",)),
    "institution": ("SELECT id FROM changed", ("UPDATE",)),
    "programme": (_OF_THE_REGISTRY, _ALWAYS),
    "specialty": (_OF_THE_REGISTRY, _ALWAYS),
    "specialty_parent": (_OF_THE_REGISTRY, _ALWAYS),
    "membership": (_OF_THE_REGISTRY, _ALWAYS),
    "memorandum": (_OF_THE_REGISTRY, _ALWAYS),
    "memorandum_party": (_OF_THE_REGISTRY, _ALWAYS),
    "memorandum_area": (_OF_THE_REGISTRY, _ALWAYS),
}
"""Whom a statement that wrote the rows `changed` concerns: mentors and their institutions (`mentor_cache`), or the
registry as a whole (`candidates`)."""


def _concerning(table: str) -> list[str]:
    subjects, events = _CONCERNED[table]
    body = f"INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM ({subjects}) AS concerned (id)"  # noqa: S608
    function = (
        f"CREATE FUNCTION mark_ranking_by_{table}() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        f"BEGIN\n    {body};\n    RETURN NULL;\nEND\n$$"
    )
    return [
        function,
        *(
            f"CREATE TRIGGER tg_{table}_ranking_{event.lower()} AFTER {event} ON {table}"
            f" REFERENCING {'OLD' if event == 'DELETE' else 'NEW'} TABLE AS changed"
            f" FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_{table}()"
            for event in events
        ),
    ]


# PL/pgSQL looks at a statement only when it comes to it; plain SQL with a function that is refused would be as a whole.
_SYSTEM_IDENTIFIER = """\
CREATE FUNCTION present_system_identifier() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') THEN
        RETURN (SELECT system_identifier FROM pg_catalog.pg_control_system());
    END IF;
    RETURN NULL;
END $$"""
# A server in recovery writes no log. The control file's own timeline may lag behind.
_TIMELINE = """\
CREATE FUNCTION present_timeline() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF NOT pg_catalog.pg_is_in_recovery()
        AND has_function_privilege('pg_catalog.pg_current_wal_lsn()', 'EXECUTE')
        AND has_function_privilege('pg_catalog.pg_walfile_name(pg_lsn)', 'EXECUTE')
    THEN
        RETURN substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8);
    END IF;
    RETURN NULL;
END $$"""

_COPY_CASE = """\
CREATE FUNCTION copy_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT programme_id, institution_id, clinician_id, department
    INTO NEW.case_programme_id, NEW.case_institution_id, NEW.case_clinician_id, NEW.case_department
    FROM consultation WHERE id = NEW.consultation_id FOR SHARE;
    RETURN NEW;
END
$$"""
_FOLLOW_CASE = """\
CREATE FUNCTION follow_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE offer SET case_programme_id = NEW.programme_id, case_institution_id = NEW.institution_id,
        case_clinician_id = NEW.clinician_id, case_department = NEW.department WHERE consultation_id = NEW.id;
    UPDATE appointment SET case_programme_id = NEW.programme_id, case_institution_id = NEW.institution_id,
        case_clinician_id = NEW.clinician_id, case_department = NEW.department WHERE consultation_id = NEW.id;
    RETURN NULL;
END
$$"""
_CASE_CHANGED = """\
CREATE TRIGGER tg_consultation_case AFTER UPDATE OF programme_id, institution_id, clinician_id, department
ON consultation FOR EACH ROW WHEN (
    (OLD.programme_id, OLD.institution_id, OLD.clinician_id, OLD.department)
    IS DISTINCT FROM (NEW.programme_id, NEW.institution_id, NEW.clinician_id, NEW.department)
) EXECUTE FUNCTION follow_case()"""
"""Offers and appointments say whose case they are of (`care.OfCase`): lists of a programme's, a hospital's or a
clinician's need an index that has these. Who inserts one waits for a change of its consultation that is under way."""

_COPY_START = """\
CREATE FUNCTION copy_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT starts_at INTO NEW.starts_at FROM appointment WHERE id = NEW.appointment_id FOR SHARE;
    RETURN NEW;
END
$$"""
_START_COPIED = """\
CREATE TRIGGER tg_participant_start BEFORE INSERT OR UPDATE OF appointment_id ON participant
FOR EACH ROW EXECUTE FUNCTION copy_start()"""
_FOLLOW_START = """\
CREATE FUNCTION follow_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE participant SET starts_at = NEW.starts_at WHERE appointment_id = NEW.id;
    RETURN NULL;
END
$$"""
_START_CHANGED = """\
CREATE TRIGGER tg_appointment_start AFTER UPDATE OF starts_at ON appointment
FOR EACH ROW WHEN (OLD.starts_at IS DISTINCT FROM NEW.starts_at) EXECUTE FUNCTION follow_start()"""
"""Participants say when their appointment starts: lists of somebody's appointments need an index that has this."""

_NUMBERS_DRAWN = "CREATE SEQUENCE consultation_numbers_drawn"
_NEW_NUMBER = f"""\
CREATE FUNCTION new_consultation_number() RETURNS varchar LANGUAGE plpgsql AS $$
DECLARE
    symbols CONSTANT text := '{case_numbers.SYMBOLS}';
    drawn CONSTANT bigint := nextval('consultation_numbers_drawn');
    size int := {case_numbers.LEAST_LENGTH};
    tries int := 0;
    candidate text;
BEGIN
    WHILE drawn * 10 > power(length(symbols), size) LOOP
        size := size + 1;
    END LOOP;
    LOOP
        SELECT 'R-' || string_agg(substr(symbols, 1 + CAST(floor(random() * length(symbols)) AS int), 1), '')
        INTO candidate FROM generate_series(1, size);
        EXIT WHEN NOT EXISTS (SELECT FROM consultation WHERE number = candidate);
        tries := tries + 1;
        IF tries % 20 = 0 THEN  -- more are used than were drawn here, as in a copy without its sequences
            size := size + 1;
        END IF;
    END LOOP;
    RETURN candidate;
END
$$"""  # noqa: S608 - our own constants
_NUMBER_CASE = """\
CREATE FUNCTION number_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := new_consultation_number();
    RETURN NEW;
END
$$"""
_CASE_NUMBERED = """\
CREATE TRIGGER tg_consultation_number BEFORE INSERT ON consultation
FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION number_case()"""
"""Every case has its short number, whatever program files it (decision 0116). How many were drawn is counted by the
sequence, not by the rows: it needs no reading of the table, and says nothing in the numbers themselves."""

AFTER = (
    _REFUSE,
    _NUMBERS_DRAWN,
    _NEW_NUMBER,
    _NUMBER_CASE,
    _CASE_NUMBERED,
    _COPY_START,
    _START_COPIED,
    _FOLLOW_START,
    _START_CHANGED,
    _COPY_CASE,
    *(
        f"CREATE TRIGGER tg_{table}_case BEFORE INSERT OR UPDATE OF consultation_id ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION copy_case()"
        for table in ("offer", "appointment")
    ),
    _FOLLOW_CASE,
    _CASE_CHANGED,
    *(
        f"CREATE TRIGGER tg_{table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in APPEND_ONLY
    ),
    *(statement for table in _MARKED for statement in _marking(table)),
    *_VOID_ROLLUPS,
    *(statement for table in _CONCERNED for statement in _concerning(table)),
    _SYSTEM_IDENTIFIER,
    _TIMELINE,
)
"""Functions that tell which database this is. Triggers: rows of append-only tables never change, by bug or by hand, but
audit rows end with their retention; a change of what reports count, or of what a ranking reads of mentors and the
registry, leaves a mark."""
