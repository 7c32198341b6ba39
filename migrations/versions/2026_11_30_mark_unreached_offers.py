"""Leave a mark for the reports when an offer turns out to have reached nobody: they count such offers apart."""

from alembic import op

revision = "2026_11_30_mark_unreached_offers"
down_revision = "2026_11_30_index_failed"


def upgrade() -> None:
    """Have the trigger fire for that column too; an older program's changes leave the same marks as before."""
    op.execute(
        "CREATE OR REPLACE TRIGGER tg_offer_marks AFTER INSERT OR DELETE OR UPDATE OF memorandum_id, consultation_id,"
        " mentor_id, wave, state, sent_at, answered_at, counter_starts, decline_reason, is_undelivered ON offer"
        " FOR EACH ROW EXECUTE FUNCTION mark_offer()"
    )
