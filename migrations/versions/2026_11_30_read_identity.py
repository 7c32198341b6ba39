"""Read which database this is also where some of it is refused, and know the present one from the beginning."""

from alembic import op

revision = "2026_11_30_read_identity"
down_revision = "2026_11_30_keep_refusals"


def upgrade() -> None:
    """Make the functions, and know this database: nobody waits for more than a moment.

    They are in PL/pgSQL, which looks at a statement only when it comes to it: plain SQL would be refused as a whole.
    """
    op.execute(_SYSTEM_IDENTIFIER)
    op.execute(_TIMELINE)
    op.execute(_KNOW)


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
_KNOW = """\
INSERT INTO installation (id, system_identifier, database_oid, timeline)
SELECT 1, present_system_identifier(), oid, present_timeline() FROM pg_database WHERE datname = current_database()
ON CONFLICT DO NOTHING"""
