"""The columns that a consultation journal can have, in the shape of Ukraine's form 003/тм: which ones is configuration.

No column holds case text or a patient: the form's column with the patient is filled in inside the hospital.
"""

from service.rules.sentences import Sentence

COLUMNS = (
    "number",
    "filed_at",
    "side",
    "requesting_institution",
    "department",
    "clinician",
    "specialty",
    "age_band",
    "priority",
    "mode",
    "started_at",
    "ended_at",
    "minutes",
    "partner_institution",
    "partner_country",
    "mentor",
    "outcome",
    "memorandum",
    "consultation_id",
    "session_id",
)
USUAL = (
    "number",
    "filed_at",
    "requesting_institution",
    "clinician",
    "specialty",
    "age_band",
    "priority",
    "mode",
    "started_at",
    "minutes",
    "partner_institution",
    "mentor",
    "outcome",
)
"""What a journal has unless somebody chose others."""


def unknown(columns: tuple[str, ...]) -> str | None:
    """Give the fault of a choice of columns, in words for the person who chose; None if there is none."""
    unknown_names = [name for name in columns if name not in COLUMNS]
    if unknown_names or not columns or len(set(columns)) < len(columns):
        return Sentence("must be some of these, each once: {columns}", columns=COLUMNS)
    return None
