CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE event (
    id UUID NOT NULL,
    position BIGINT,
    type VARCHAR NOT NULL,
    subject_id UUID NOT NULL,
    subject_version INTEGER NOT NULL,
    programme_id UUID,
    memorandum_id UUID,
    institution_ids UUID[] DEFAULT '{}' NOT NULL,
    person_ids UUID[] DEFAULT '{}' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    body VARCHAR NOT NULL,
    CONSTRAINT pk_event PRIMARY KEY (id),
    CONSTRAINT uq_event_position UNIQUE (position)
);

CREATE INDEX ix_event_memorandum_id ON event (memorandum_id);

CREATE INDEX ix_event_subject_id ON event (subject_id);

CREATE INDEX ix_event_unplaced ON event USING btree (id) WHERE position IS NULL;

CREATE UNIQUE INDEX ix_event_subject_version ON event USING btree (subject_id, subject_version, type);

CREATE TABLE audit (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor_kind VARCHAR NOT NULL,
    person_id UUID,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    subject_id UUID,
    request_id VARCHAR,
    details JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
);

CREATE INDEX ix_audit_person_id_at ON audit USING btree (person_id, at);

CREATE INDEX ix_audit_subject_id ON audit USING btree (subject_id);

CREATE TABLE idempotency_key (
    id UUID NOT NULL,
    caller VARCHAR NOT NULL,
    path_hash BYTEA NOT NULL,
    key VARCHAR NOT NULL,
    request_hash BYTEA NOT NULL,
    status INTEGER,
    headers JSONB NOT NULL,
    body BYTEA,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_key PRIMARY KEY (id)
);

CREATE INDEX ix_idempotency_key_created_at ON idempotency_key USING btree (created_at);

CREATE UNIQUE INDEX uq_idempotency_key ON idempotency_key USING btree (caller, path_hash, key);

CREATE UNLOGGED TABLE rate_limit (
    bucket VARCHAR NOT NULL,
    arrives_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rate_limit PRIMARY KEY (bucket)
);

CREATE TABLE report_mark (
    id BIGSERIAL NOT NULL,
    programme_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_report_mark PRIMARY KEY (id)
);

CREATE INDEX ix_report_mark_programme_id_at ON report_mark USING btree (programme_id, at);

CREATE TABLE person (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    kind VARCHAR DEFAULT 'person' NOT NULL,
    email VARCHAR NOT NULL,
    display_name VARCHAR NOT NULL,
    locale VARCHAR NOT NULL,
    zone VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    is_vouched_for BOOLEAN DEFAULT true NOT NULL,
    buffer_minutes INTEGER DEFAULT 10 NOT NULL,
    mail_refused_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_person PRIMARY KEY (id),
    CONSTRAINT ck_person_locale_known CHECK (locale IN ('uk', 'en')),
    CONSTRAINT ck_person_kind_known CHECK (kind IN ('person', 'system')),
    CONSTRAINT ck_person_state_known CHECK (state IN ('active', 'disabled')),
    CONSTRAINT ck_person_buffer_bounded CHECK (buffer_minutes BETWEEN 0 AND 120)
);

CREATE UNIQUE INDEX uq_person_email ON person USING btree (lower(email));

CREATE TABLE ranking_mark (
    id BIGSERIAL NOT NULL,
    subject_id UUID NOT NULL,
    value BIGINT DEFAULT uuid_hash_extended(gen_random_uuid(), 0) NOT NULL,
    CONSTRAINT pk_ranking_mark PRIMARY KEY (id)
);

CREATE INDEX ix_ranking_mark_subject_id_value ON ranking_mark USING btree (subject_id, value);

CREATE TABLE signing_key (
    id UUID NOT NULL,
    private_pem BYTEA NOT NULL,
    public_jwk JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_signing_key PRIMARY KEY (id)
);

CREATE TABLE revoked_token (
    jti UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_revoked_token PRIMARY KEY (jti)
);

CREATE TABLE programme (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    code VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    name_en VARCHAR NOT NULL,
    country VARCHAR NOT NULL,
    zone VARCHAR NOT NULL,
    policy JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_programme PRIMARY KEY (id),
    CONSTRAINT ck_programme_country_iso CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT uq_programme_code UNIQUE (code)
);

CREATE TABLE specialty (
    code VARCHAR NOT NULL,
    parent_code VARCHAR,
    name_en VARCHAR NOT NULL,
    name_uk VARCHAR NOT NULL,
    snomed_ct VARCHAR,
    is_bookable BOOLEAN NOT NULL,
    CONSTRAINT pk_specialty PRIMARY KEY (code),
    CONSTRAINT fk_specialty_parent_code_specialty FOREIGN KEY(parent_code) REFERENCES specialty (code)
);

CREATE TABLE institution (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    code VARCHAR,
    name VARCHAR,
    name_en VARCHAR,
    kind VARCHAR NOT NULL,
    country VARCHAR,
    region VARCHAR,
    city VARCHAR,
    zone VARCHAR,
    working_weekdays SMALLINT[] DEFAULT '{0,1,2,3,4}' NOT NULL,
    languages TEXT[] DEFAULT '{}' NOT NULL,
    aliases TEXT[] DEFAULT '{}' NOT NULL,
    shows_its_name BOOLEAN DEFAULT false NOT NULL,
    sources TEXT[] DEFAULT '{}' NOT NULL,
    note VARCHAR,
    CONSTRAINT pk_institution PRIMARY KEY (id),
    CONSTRAINT ck_institution_country_iso CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT uq_institution_code UNIQUE (code)
);

CREATE TABLE consultation (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    programme_id UUID NOT NULL,
    institution_id UUID NOT NULL,
    clinician_id UUID NOT NULL,
    department VARCHAR,
    follows_id UUID,
    specialty_code VARCHAR NOT NULL,
    activity VARCHAR NOT NULL,
    priority VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    question BYTEA,
    languages TEXT[] DEFAULT '{}' NOT NULL,
    age_band VARCHAR NOT NULL,
    duration_minutes INTEGER NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    is_translated BOOLEAN NOT NULL,
    excluded_mentors UUID[] DEFAULT '{}' NOT NULL,
    consent_scope VARCHAR,
    consent_countries TEXT[] DEFAULT '{}' NOT NULL,
    consent_given_on DATE,
    opened_at TIMESTAMP WITH TIME ZONE,
    answer_due_at TIMESTAMP WITH TIME ZONE,
    next_wave_at TIMESTAMP WITH TIME ZONE,
    waves INTEGER DEFAULT 0 NOT NULL,
    alert_at TIMESTAMP WITH TIME ZONE,
    advice_due_at TIMESTAMP WITH TIME ZONE,
    is_advice_overdue_told BOOLEAN DEFAULT false NOT NULL,
    cancel_reason VARCHAR,
    note BYTEA,
    noted_by UUID,
    closed_at TIMESTAMP WITH TIME ZONE,
    is_forgotten BOOLEAN DEFAULT false NOT NULL,
    created_by UUID,
    CONSTRAINT pk_consultation PRIMARY KEY (id),
    CONSTRAINT ck_consultation_priority_known CHECK (priority IN ('routine', 'urgent', 'asap', 'stat')),
    CONSTRAINT ck_consultation_mode_known CHECK (mode IN ('live', 'written', 'either', 'board')),
    CONSTRAINT ck_consultation_state_known CHECK (state IN ('draft', 'open', 'offered', 'scheduled', 'completed', 'unmatched', 'cancelled', 'expired')),
    CONSTRAINT ck_consultation_age_band_known CHECK (age_band IN ('neonate', 'infant', 'child', 'adolescent', 'adult', 'older')),
    CONSTRAINT ck_consultation_consent_scope_known CHECK (consent_scope IN ('general', 'countries')),
    CONSTRAINT ck_consultation_cancel_reason_known CHECK (cancel_reason IN ('no_longer_needed', 'resolved_locally', 'transferred', 'patient_withdrew', 'filed_by_mistake', 'other')),
    CONSTRAINT ck_consultation_duration_bounded CHECK (duration_minutes BETWEEN 15 AND 240),
    CONSTRAINT ck_consultation_due_once_open CHECK (state = 'draft' OR answer_due_at IS NOT NULL OR closed_at IS NOT NULL),
    CONSTRAINT fk_consultation_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id),
    CONSTRAINT fk_consultation_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_consultation_clinician_id_person FOREIGN KEY(clinician_id) REFERENCES person (id),
    CONSTRAINT fk_consultation_follows_id_consultation FOREIGN KEY(follows_id) REFERENCES consultation (id),
    CONSTRAINT fk_consultation_specialty_code_specialty FOREIGN KEY(specialty_code) REFERENCES specialty (code),
    CONSTRAINT fk_consultation_noted_by_person FOREIGN KEY(noted_by) REFERENCES person (id),
    CONSTRAINT fk_consultation_created_by_person FOREIGN KEY(created_by) REFERENCES person (id)
);

CREATE INDEX ix_consultation_advice_due_at ON consultation USING btree (advice_due_at) WHERE state = 'scheduled';

CREATE INDEX ix_consultation_alert_at ON consultation USING btree (alert_at) WHERE alert_at IS NOT NULL;

CREATE INDEX ix_consultation_answer_due_at ON consultation USING btree (answer_due_at) WHERE state IN ('open', 'offered', 'unmatched');

CREATE INDEX ix_consultation_clinician_id ON consultation (clinician_id);

CREATE INDEX ix_consultation_institution_id_id ON consultation USING btree (institution_id, id);

CREATE INDEX ix_consultation_next_wave_at ON consultation USING btree (next_wave_at) WHERE next_wave_at IS NOT NULL;

CREATE INDEX ix_consultation_programme_id_opened_at ON consultation USING btree (programme_id, opened_at);

CREATE INDEX ix_consultation_text ON consultation USING btree (coalesce(closed_at, CASE WHEN state = 'draft' THEN created_at END)) WHERE NOT is_forgotten;

CREATE TABLE webhook_endpoint (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    institution_id UUID NOT NULL,
    url VARCHAR NOT NULL,
    types TEXT[] DEFAULT '{}' NOT NULL,
    memoranda UUID[] DEFAULT '{}' NOT NULL,
    signature VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    why VARCHAR,
    created_by UUID,
    deleted_at TIMESTAMP WITH TIME ZONE,
    failing_since TIMESTAMP WITH TIME ZONE,
    warned_percent INTEGER NOT NULL,
    counted_from TIMESTAMP WITH TIME ZONE,
    counted INTEGER NOT NULL,
    counted_failed INTEGER NOT NULL,
    broken_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_endpoint PRIMARY KEY (id),
    CONSTRAINT ck_webhook_endpoint_signature_known CHECK (signature IN ('v1', 'v1a')),
    CONSTRAINT ck_webhook_endpoint_state_known CHECK (state IN ('active', 'paused', 'disabled')),
    CONSTRAINT ck_webhook_endpoint_why_known CHECK (why IN ('by_hand', 'gone', 'failing')),
    CONSTRAINT ck_webhook_endpoint_why_not_active CHECK ((state = 'active') = (why IS NULL)),
    CONSTRAINT fk_webhook_endpoint_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_webhook_endpoint_created_by_person FOREIGN KEY(created_by) REFERENCES person (id)
);

CREATE INDEX ix_webhook_endpoint_institution_id ON webhook_endpoint (institution_id);

CREATE TABLE statistic (
    id UUID NOT NULL,
    programme_id UUID NOT NULL,
    key VARCHAR NOT NULL,
    op VARCHAR NOT NULL,
    value INTEGER NOT NULL,
    as_of VARCHAR,
    source VARCHAR NOT NULL,
    citation VARCHAR NOT NULL,
    CONSTRAINT pk_statistic PRIMARY KEY (id),
    CONSTRAINT ck_statistic_op_known CHECK (op IN ('=', '>', '>=', '<', '<=', '~')),
    CONSTRAINT fk_statistic_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id)
);

CREATE UNIQUE INDEX uq_statistic ON statistic USING btree (programme_id, key, coalesce(as_of, ''));

CREATE TABLE milestone (
    id UUID NOT NULL,
    programme_id UUID NOT NULL,
    on_text VARCHAR NOT NULL,
    precision VARCHAR NOT NULL,
    total_memoranda INTEGER,
    added INTEGER,
    event VARCHAR NOT NULL,
    sources VARCHAR NOT NULL,
    citation VARCHAR NOT NULL,
    CONSTRAINT pk_milestone PRIMARY KEY (id),
    CONSTRAINT fk_milestone_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id)
);

CREATE UNIQUE INDEX uq_milestone ON milestone USING btree (programme_id, on_text);

CREATE TABLE report_piece (
    programme_id UUID NOT NULL,
    from_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until_at TIMESTAMP WITH TIME ZONE NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    counted VARCHAR NOT NULL,
    hours BYTEA NOT NULL,
    asked_mentors BYTEA NOT NULL,
    mentors BYTEA NOT NULL,
    minutes BYTEA NOT NULL,
    CONSTRAINT pk_report_piece PRIMARY KEY (programme_id, from_at, until_at),
    CONSTRAINT fk_report_piece_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id)
);

CREATE TABLE role_grant (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    role VARCHAR NOT NULL,
    institution_id UUID,
    programme_id UUID,
    department VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_role_grant PRIMARY KEY (id),
    CONSTRAINT ck_role_grant_role_known CHECK (role IN ('clinician', 'mentor', 'coordinator', 'programme_admin', 'partner_system')),
    CONSTRAINT ck_role_grant_one_place CHECK (num_nonnulls(institution_id, programme_id) = 1),
    CONSTRAINT ck_role_grant_admin_of_programme CHECK ((role = 'programme_admin') = (programme_id IS NOT NULL)),
    CONSTRAINT fk_role_grant_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT fk_role_grant_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_role_grant_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id)
);

CREATE INDEX ix_role_grant_institution_id_role ON role_grant USING btree (institution_id, role, person_id);

CREATE UNIQUE INDEX uq_role_grant ON role_grant USING btree (person_id, role, coalesce(institution_id, programme_id));

CREATE TABLE person_language (
    person_id UUID NOT NULL,
    code VARCHAR NOT NULL,
    level VARCHAR NOT NULL,
    CONSTRAINT pk_person_language PRIMARY KEY (person_id, code),
    CONSTRAINT ck_person_language_level_known CHECK (level IN ('A1', 'A2', 'B1', 'B2', 'C1', 'C2', 'native')),
    CONSTRAINT fk_person_language_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
);

CREATE TABLE mentor_profile (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    person_id UUID NOT NULL,
    institution_id UUID NOT NULL,
    verified_until TIMESTAMP WITH TIME ZONE,
    verified_by UUID,
    sessions_per_week INTEGER DEFAULT 3 NOT NULL,
    offers_per_week INTEGER DEFAULT 5 NOT NULL,
    notice_minutes INTEGER DEFAULT 720 NOT NULL,
    treats_children BOOLEAN DEFAULT false NOT NULL,
    opt_ins TEXT[] DEFAULT '{}' NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    quiet_from_minute INTEGER DEFAULT 1320 NOT NULL,
    quiet_until_minute INTEGER DEFAULT 420 NOT NULL,
    availability_zone VARCHAR NOT NULL,
    CONSTRAINT pk_mentor_profile PRIMARY KEY (person_id),
    CONSTRAINT ck_mentor_profile_caps_bounded CHECK (sessions_per_week BETWEEN 0 AND 100 AND offers_per_week BETWEEN 0 AND 100),
    CONSTRAINT ck_mentor_profile_notice_bounded CHECK (notice_minutes BETWEEN 0 AND 20160),
    CONSTRAINT ck_mentor_profile_quiet_bounded CHECK (quiet_from_minute BETWEEN 0 AND 1440 AND quiet_until_minute BETWEEN 0 AND 1440),
    CONSTRAINT fk_mentor_profile_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT fk_mentor_profile_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_mentor_profile_verified_by_person FOREIGN KEY(verified_by) REFERENCES person (id)
);

CREATE INDEX ix_mentor_profile_institution_id ON mentor_profile (institution_id);

CREATE TABLE link (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    purpose VARCHAR NOT NULL,
    subject_id UUID,
    starts_at TIMESTAMP WITH TIME ZONE,
    opens_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_link PRIMARY KEY (id),
    CONSTRAINT fk_link_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
);

CREATE INDEX ix_link_expires_at ON link USING btree (expires_at);

CREATE INDEX ix_link_person_id ON link (person_id);

CREATE TABLE refresh_token (
    id UUID NOT NULL,
    family_id UUID NOT NULL,
    person_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_refresh_token PRIMARY KEY (id),
    CONSTRAINT fk_refresh_token_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
);

CREATE INDEX ix_refresh_token_family_id ON refresh_token (family_id);

CREATE INDEX ix_refresh_token_person_id ON refresh_token (person_id);

CREATE TABLE client (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    institution_id UUID NOT NULL,
    name VARCHAR NOT NULL,
    scopes TEXT[] DEFAULT '{}' NOT NULL,
    token_endpoint_auth_method VARCHAR NOT NULL,
    jwks JSONB,
    jwks_uri VARCHAR,
    jwks_fetched JSONB,
    jwks_asked_at TIMESTAMP WITH TIME ZONE,
    jwks_fetched_at TIMESTAMP WITH TIME ZONE,
    created_by UUID,
    revoked_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_client PRIMARY KEY (id),
    CONSTRAINT ck_client_token_endpoint_auth_method_known CHECK (token_endpoint_auth_method IN ('client_secret_basic', 'private_key_jwt')),
    CONSTRAINT ck_client_scopes_known CHECK (scopes <@ ARRAY['consultations:read', 'consultations:write', 'appointments:read', 'appointments:write', 'availability:write', 'memoranda:read', 'events:read', 'webhooks:write', 'reports:read']),
    CONSTRAINT ck_client_keys_for_assertions CHECK (num_nonnulls(jwks, jwks_uri) = CASE token_endpoint_auth_method WHEN 'private_key_jwt' THEN 1 ELSE 0 END),
    CONSTRAINT fk_client_id_person FOREIGN KEY(id) REFERENCES person (id),
    CONSTRAINT fk_client_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_client_created_by_person FOREIGN KEY(created_by) REFERENCES person (id)
);

CREATE INDEX ix_client_institution_id ON client (institution_id);

CREATE TABLE specialty_parent (
    code VARCHAR NOT NULL,
    also_parent_code VARCHAR NOT NULL,
    CONSTRAINT pk_specialty_parent PRIMARY KEY (code, also_parent_code),
    CONSTRAINT fk_specialty_parent_code_specialty FOREIGN KEY(code) REFERENCES specialty (code),
    CONSTRAINT fk_specialty_parent_also_parent_code_specialty FOREIGN KEY(also_parent_code) REFERENCES specialty (code)
);

CREATE TABLE membership (
    id UUID NOT NULL,
    institution_id UUID NOT NULL,
    network_id UUID NOT NULL,
    from_on DATE NOT NULL,
    until_on DATE,
    CONSTRAINT pk_membership PRIMARY KEY (id),
    CONSTRAINT ck_membership_not_itself CHECK (institution_id <> network_id),
    CONSTRAINT ck_membership_dates_in_order CHECK (until_on > from_on),
    CONSTRAINT fk_membership_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_membership_network_id_institution FOREIGN KEY(network_id) REFERENCES institution (id)
);

CREATE INDEX ix_membership_institution_id ON membership (institution_id);

CREATE INDEX ix_membership_network_id ON membership (network_id);

CREATE TABLE memorandum (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    code VARCHAR,
    programme_id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    signed_on DATE,
    signed_precision VARCHAR NOT NULL,
    valid_from DATE,
    valid_until DATE,
    activities TEXT[] DEFAULT '{}' NOT NULL,
    budget_minutes INTEGER,
    budget_per VARCHAR,
    renewed_by UUID,
    end_told_days INTEGER,
    budget_seen_at TIMESTAMP WITH TIME ZONE,
    budget_told_at TIMESTAMP WITH TIME ZONE,
    source VARCHAR,
    note VARCHAR,
    CONSTRAINT pk_memorandum PRIMARY KEY (id),
    CONSTRAINT ck_memorandum_kind_known CHECK (kind IN ('bilateral', 'multilateral', 'umbrella')),
    CONSTRAINT ck_memorandum_status_known CHECK (status IN ('draft', 'signed', 'active', 'suspended', 'expired', 'terminated')),
    CONSTRAINT ck_memorandum_signed_precision_known CHECK (signed_precision IN ('on', 'by', 'unknown')),
    CONSTRAINT ck_memorandum_budget_per_known CHECK (budget_per IN ('month', 'quarter', 'year', 'total')),
    CONSTRAINT ck_memorandum_budget_whole CHECK ((budget_minutes IS NULL) = (budget_per IS NULL) AND budget_minutes >= 0),
    CONSTRAINT ck_memorandum_dates_in_order CHECK (valid_until > valid_from),
    CONSTRAINT uq_memorandum_code UNIQUE (code),
    CONSTRAINT fk_memorandum_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id),
    CONSTRAINT fk_memorandum_renewed_by_memorandum FOREIGN KEY(renewed_by) REFERENCES memorandum (id)
);

CREATE INDEX ix_memorandum_ending ON memorandum USING btree (valid_until) WHERE status = 'active';

CREATE INDEX ix_memorandum_programme_id ON memorandum (programme_id);

CREATE TABLE consultation_window (
    consultation_id UUID NOT NULL,
    from_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_consultation_window PRIMARY KEY (consultation_id, from_at),
    CONSTRAINT ck_consultation_window_in_order CHECK (from_at < until_at),
    CONSTRAINT fk_consultation_window_consultation_id_consultation FOREIGN KEY(consultation_id) REFERENCES consultation (id)
);

CREATE TABLE offer (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    consultation_id UUID NOT NULL,
    mentor_id UUID NOT NULL,
    institution_id UUID NOT NULL,
    memorandum_id UUID NOT NULL,
    route VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    wave INTEGER NOT NULL,
    starts TIMESTAMP WITH TIME ZONE[] DEFAULT '{}' NOT NULL,
    counter_starts TIMESTAMP WITH TIME ZONE[] DEFAULT '{}' NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE NOT NULL,
    answer_by TIMESTAMP WITH TIME ZONE NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    decline_reason VARCHAR,
    note BYTEA,
    noted_by UUID,
    terms JSONB DEFAULT '{}' NOT NULL,
    override_rule VARCHAR,
    override_reason BYTEA,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_offer PRIMARY KEY (id),
    CONSTRAINT ck_offer_route_known CHECK (route IN ('direct', 'network', 'umbrella')),
    CONSTRAINT ck_offer_kind_known CHECK (kind IN ('live', 'written', 'either')),
    CONSTRAINT ck_offer_state_known CHECK (state IN ('pending', 'accepted', 'declined', 'countered', 'expired', 'withdrawn')),
    CONSTRAINT ck_offer_decline_reason_known CHECK (decline_reason IN ('wrong_specialty', 'busy', 'insufficient_info', 'language', 'conflict')),
    CONSTRAINT fk_offer_consultation_id_consultation FOREIGN KEY(consultation_id) REFERENCES consultation (id),
    CONSTRAINT fk_offer_mentor_id_person FOREIGN KEY(mentor_id) REFERENCES person (id),
    CONSTRAINT fk_offer_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_offer_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT fk_offer_noted_by_person FOREIGN KEY(noted_by) REFERENCES person (id)
);

CREATE INDEX ix_offer_answer_by ON offer USING btree (answer_by) WHERE state = 'pending';

CREATE INDEX ix_offer_consultation_id ON offer (consultation_id);

CREATE INDEX ix_offer_countered ON offer USING btree (consultation_id) WHERE state = 'countered';

CREATE INDEX ix_offer_memorandum_id_sent_at ON offer USING btree (memorandum_id, sent_at);

CREATE INDEX ix_offer_mentor_id_sent_at ON offer USING btree (mentor_id, sent_at);

CREATE INDEX ix_offer_sent_at ON offer USING btree (sent_at);

CREATE UNIQUE INDEX uq_offer_open ON offer USING btree (consultation_id, mentor_id) WHERE state IN ('pending', 'countered') OR (state = 'accepted' AND ended_at IS NULL);

CREATE TABLE webhook_secret (
    id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    public_key VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_secret PRIMARY KEY (id),
    CONSTRAINT fk_webhook_secret_endpoint_id_webhook_endpoint FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoint (id)
);

CREATE INDEX ix_webhook_secret_endpoint_id ON webhook_secret (endpoint_id);

CREATE UNIQUE INDEX uq_webhook_secret_current ON webhook_secret USING btree (endpoint_id) WHERE expires_at IS NULL;

CREATE TABLE log_head (
    memorandum_id UUID NOT NULL,
    position INTEGER NOT NULL,
    hash VARCHAR NOT NULL,
    CONSTRAINT pk_log_head PRIMARY KEY (memorandum_id),
    CONSTRAINT fk_log_head_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id)
);

CREATE TABLE log_entry (
    id UUID NOT NULL,
    memorandum_id UUID NOT NULL,
    position INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    corrects UUID,
    logged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    logged_by UUID,
    previous_hash VARCHAR NOT NULL,
    hash VARCHAR NOT NULL,
    CONSTRAINT pk_log_entry PRIMARY KEY (id),
    CONSTRAINT ck_log_entry_kind_known CHECK (kind IN ('session', 'advice', 'activity')),
    CONSTRAINT fk_log_entry_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT uq_log_entry_corrects UNIQUE (corrects),
    CONSTRAINT fk_log_entry_corrects_log_entry FOREIGN KEY(corrects) REFERENCES log_entry (id)
);

CREATE UNIQUE INDEX uq_log_entry_position ON log_entry USING btree (memorandum_id, position);

CREATE TABLE activity (
    id UUID NOT NULL,
    code VARCHAR,
    programme_id UUID NOT NULL,
    memorandum_id UUID,
    kind VARCHAR NOT NULL,
    published_kind VARCHAR,
    on_date DATE,
    period VARCHAR,
    from_on DATE,
    until_on DATE,
    days INTEGER,
    people_count INTEGER,
    people_op VARCHAR,
    note BYTEA,
    source VARCHAR,
    is_corrected BOOLEAN DEFAULT false NOT NULL,
    corrects UUID,
    logged_by UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_activity PRIMARY KEY (id),
    CONSTRAINT ck_activity_kind_known CHECK (kind IN ('traineeship', 'joint_operation', 'visit', 'conference', 'education', 'research', 'grant', 'publication', 'donation', 'other')),
    CONSTRAINT ck_activity_people_op_known CHECK (people_op IN ('=', '>', '>=', '<', '<=', '~')),
    CONSTRAINT ck_activity_people_whole CHECK ((people_count IS NULL) = (people_op IS NULL)),
    CONSTRAINT ck_activity_dates_in_order CHECK (until_on > from_on),
    CONSTRAINT ck_activity_period_known CHECK (period ~ '^[0-9]{4}(-(0[1-9]|1[0-2])|-Q[1-4])?$'),
    CONSTRAINT uq_activity_code UNIQUE (code),
    CONSTRAINT fk_activity_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id),
    CONSTRAINT fk_activity_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT uq_activity_corrects UNIQUE (corrects),
    CONSTRAINT fk_activity_corrects_activity FOREIGN KEY(corrects) REFERENCES activity (id)
);

CREATE INDEX ix_activity_memorandum_id ON activity (memorandum_id);

CREATE INDEX ix_activity_programme_id ON activity (programme_id);

CREATE TABLE mentor_specialty (
    person_id UUID NOT NULL,
    specialty_code VARCHAR NOT NULL,
    CONSTRAINT pk_mentor_specialty PRIMARY KEY (person_id, specialty_code),
    CONSTRAINT fk_mentor_specialty_person_id_mentor_profile FOREIGN KEY(person_id) REFERENCES mentor_profile (person_id),
    CONSTRAINT fk_mentor_specialty_specialty_code_specialty FOREIGN KEY(specialty_code) REFERENCES specialty (code)
);

CREATE INDEX ix_mentor_specialty_specialty_code ON mentor_specialty USING btree (specialty_code, person_id);

CREATE TABLE weekly_hours (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    weekday INTEGER NOT NULL,
    from_minute INTEGER NOT NULL,
    until_minute INTEGER NOT NULL,
    CONSTRAINT pk_weekly_hours PRIMARY KEY (id),
    CONSTRAINT ck_weekly_hours_weekday_known CHECK (weekday BETWEEN 0 AND 6),
    CONSTRAINT ck_weekly_hours_minutes_in_order CHECK (0 <= from_minute AND from_minute < until_minute AND until_minute <= 1440),
    CONSTRAINT fk_weekly_hours_person_id_mentor_profile FOREIGN KEY(person_id) REFERENCES mentor_profile (person_id)
);

CREATE INDEX ix_weekly_hours_person_id ON weekly_hours (person_id);

CREATE TABLE availability_exception (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    from_wall TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    until_wall TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    kind VARCHAR NOT NULL,
    CONSTRAINT pk_availability_exception PRIMARY KEY (id),
    CONSTRAINT ck_availability_exception_kind_known CHECK (kind IN ('away', 'extra')),
    CONSTRAINT ck_availability_exception_walls_in_order CHECK (from_wall < until_wall),
    CONSTRAINT fk_availability_exception_person_id_mentor_profile FOREIGN KEY(person_id) REFERENCES mentor_profile (person_id)
);

CREATE INDEX ix_availability_exception_person_id ON availability_exception (person_id);

CREATE TABLE client_secret (
    id UUID NOT NULL,
    client_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_client_secret PRIMARY KEY (id),
    CONSTRAINT fk_client_secret_client_id_client FOREIGN KEY(client_id) REFERENCES client (id)
);

CREATE INDEX ix_client_secret_client_id ON client_secret (client_id);

CREATE TABLE used_assertion (
    client_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_used_assertion PRIMARY KEY (client_id, digest),
    CONSTRAINT fk_used_assertion_client_id_client FOREIGN KEY(client_id) REFERENCES client (id)
);

CREATE INDEX ix_used_assertion_expires_at ON used_assertion (expires_at);

CREATE TABLE memorandum_party (
    memorandum_id UUID NOT NULL,
    institution_id UUID NOT NULL,
    side VARCHAR NOT NULL,
    CONSTRAINT pk_memorandum_party PRIMARY KEY (memorandum_id, institution_id),
    CONSTRAINT ck_memorandum_party_side_known CHECK (side IN ('requesting', 'partner')),
    CONSTRAINT fk_memorandum_party_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT fk_memorandum_party_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id)
);

CREATE INDEX ix_memorandum_party_institution_id ON memorandum_party (institution_id);

CREATE TABLE memorandum_area (
    memorandum_id UUID NOT NULL,
    specialty_code VARCHAR NOT NULL,
    CONSTRAINT pk_memorandum_area PRIMARY KEY (memorandum_id, specialty_code),
    CONSTRAINT fk_memorandum_area_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT fk_memorandum_area_specialty_code_specialty FOREIGN KEY(specialty_code) REFERENCES specialty (code)
);

CREATE TABLE memorandum_transition (
    id UUID NOT NULL,
    memorandum_id UUID NOT NULL,
    from_status VARCHAR NOT NULL,
    to_status VARCHAR NOT NULL,
    on_date DATE NOT NULL,
    reason VARCHAR,
    is_demo BOOLEAN NOT NULL,
    actor_id UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_memorandum_transition PRIMARY KEY (id),
    CONSTRAINT fk_memorandum_transition_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id)
);

CREATE INDEX ix_memorandum_transition_memorandum_id ON memorandum_transition (memorandum_id);

CREATE TABLE appointment (
    version INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID NOT NULL,
    consultation_id UUID NOT NULL,
    memorandum_id UUID NOT NULL,
    route VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tzdata_version VARCHAR NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE,
    proposed_starts TIMESTAMP WITH TIME ZONE[] DEFAULT '{}' NOT NULL,
    proposed_by UUID,
    cancel_reason VARCHAR,
    note BYTEA,
    noted_by UUID,
    sequence INTEGER NOT NULL,
    dtstamp TIMESTAMP WITH TIME ZONE NOT NULL,
    remind_at TIMESTAMP WITH TIME ZONE,
    told_end_id UUID,
    CONSTRAINT pk_appointment PRIMARY KEY (id),
    CONSTRAINT ck_appointment_route_known CHECK (route IN ('direct', 'network', 'umbrella')),
    CONSTRAINT ck_appointment_status_known CHECK (status IN ('pending', 'booked', 'fulfilled', 'cancelled', 'noshow')),
    CONSTRAINT ck_appointment_cancel_reason_known CHECK (cancel_reason IN ('emergency', 'busy', 'power', 'alert', 'illness', 'no_longer_needed', 'other', 'hold_expired', 'hold_released', 'memorandum_ended', 'request_cancelled')),
    CONSTRAINT ck_appointment_in_order CHECK (starts_at < ends_at),
    CONSTRAINT ck_appointment_held_while_pending CHECK ((status = 'pending') = (held_until IS NOT NULL)),
    CONSTRAINT fk_appointment_consultation_id_consultation FOREIGN KEY(consultation_id) REFERENCES consultation (id),
    CONSTRAINT fk_appointment_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT fk_appointment_proposed_by_person FOREIGN KEY(proposed_by) REFERENCES person (id),
    CONSTRAINT fk_appointment_noted_by_person FOREIGN KEY(noted_by) REFERENCES person (id),
    CONSTRAINT fk_appointment_told_end_id_memorandum_transition FOREIGN KEY(told_end_id) REFERENCES memorandum_transition (id)
);

CREATE INDEX ix_appointment_consultation_id ON appointment (consultation_id);

CREATE INDEX ix_appointment_held_until ON appointment USING btree (held_until) WHERE status = 'pending';

CREATE INDEX ix_appointment_memorandum_id ON appointment (memorandum_id);

CREATE INDEX ix_appointment_memorandum_live ON appointment USING btree (memorandum_id) WHERE status IN ('pending', 'booked');

CREATE INDEX ix_appointment_remind_at ON appointment USING btree (remind_at) WHERE remind_at IS NOT NULL;

CREATE INDEX ix_appointment_starts_at ON appointment USING btree (starts_at, id);

CREATE UNIQUE INDEX uq_appointment_live ON appointment USING btree (consultation_id) WHERE status IN ('pending', 'booked');

CREATE TABLE advice (
    id UUID NOT NULL,
    consultation_id UUID NOT NULL,
    offer_id UUID NOT NULL,
    mentor_id UUID NOT NULL,
    text BYTEA,
    minutes INTEGER NOT NULL,
    given_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_advice PRIMARY KEY (id),
    CONSTRAINT ck_advice_minutes_bounded CHECK (minutes BETWEEN 1 AND 1440),
    CONSTRAINT uq_advice_consultation_id UNIQUE (consultation_id),
    CONSTRAINT fk_advice_consultation_id_consultation FOREIGN KEY(consultation_id) REFERENCES consultation (id),
    CONSTRAINT fk_advice_offer_id_offer FOREIGN KEY(offer_id) REFERENCES offer (id),
    CONSTRAINT fk_advice_mentor_id_person FOREIGN KEY(mentor_id) REFERENCES person (id)
);

CREATE TABLE activity_institution (
    activity_id UUID NOT NULL,
    institution_id UUID NOT NULL,
    direction VARCHAR NOT NULL,
    CONSTRAINT pk_activity_institution PRIMARY KEY (activity_id, institution_id),
    CONSTRAINT ck_activity_institution_direction_known CHECK (direction IN ('from', 'to')),
    CONSTRAINT fk_activity_institution_activity_id_activity FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT fk_activity_institution_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id)
);

CREATE INDEX ix_activity_institution_institution_id ON activity_institution (institution_id);

CREATE TABLE activity_specialty (
    activity_id UUID NOT NULL,
    specialty_code VARCHAR NOT NULL,
    CONSTRAINT pk_activity_specialty PRIMARY KEY (activity_id, specialty_code),
    CONSTRAINT fk_activity_specialty_activity_id_activity FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT fk_activity_specialty_specialty_code_specialty FOREIGN KEY(specialty_code) REFERENCES specialty (code)
);

CREATE TABLE participant (
    appointment_id UUID NOT NULL,
    person_id UUID NOT NULL,
    institution_id UUID NOT NULL,
    role VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    offer_id UUID,
    zone VARCHAR NOT NULL,
    wall TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    sequence INTEGER,
    dtstamp TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_participant PRIMARY KEY (appointment_id, person_id),
    CONSTRAINT ck_participant_role_known CHECK (role IN ('clinician', 'mentor', 'interpreter', 'observer')),
    CONSTRAINT ck_participant_status_known CHECK (status IN ('needs-action', 'accepted', 'declined', 'tentative')),
    CONSTRAINT fk_participant_appointment_id_appointment FOREIGN KEY(appointment_id) REFERENCES appointment (id),
    CONSTRAINT fk_participant_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT fk_participant_institution_id_institution FOREIGN KEY(institution_id) REFERENCES institution (id),
    CONSTRAINT fk_participant_offer_id_offer FOREIGN KEY(offer_id) REFERENCES offer (id)
);

CREATE INDEX ix_participant_institution_id ON participant (institution_id);

CREATE INDEX ix_participant_person_id_wall ON participant USING btree (person_id, wall);

CREATE TABLE seat (
    appointment_id UUID NOT NULL,
    person_id UUID NOT NULL,
    during TSTZRANGE NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_seat PRIMARY KEY (appointment_id, person_id),
    CONSTRAINT ck_seat_bounds_half_open CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)),
    CONSTRAINT ck_seat_bounds_there CHECK (NOT lower_inf(during) AND NOT upper_inf(during)),
    CONSTRAINT ck_seat_bounds_finite CHECK (isfinite(lower(during)) AND isfinite(upper(during))),
    CONSTRAINT ck_seat_length_sane CHECK (upper(during) - lower(during) BETWEEN interval '5 min' AND interval '8 h'),
    CONSTRAINT ex_seat_occupied_once EXCLUDE USING gist (person_id WITH =, during WITH &&),
    CONSTRAINT fk_seat_appointment_id_appointment FOREIGN KEY(appointment_id) REFERENCES appointment (id),
    CONSTRAINT fk_seat_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
);

CREATE INDEX ix_seat_held_until ON seat USING btree (held_until) WHERE held_until IS NOT NULL;

CREATE TABLE delivery (
    id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    event_id UUID,
    endpoint_id UUID,
    person_id UUID,
    appointment_id UUID,
    sequence INTEGER,
    payload JSONB DEFAULT '{}' NOT NULL,
    body VARCHAR,
    state VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    attempts_before INTEGER DEFAULT 0 NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    useless_after TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    error VARCHAR,
    CONSTRAINT pk_delivery PRIMARY KEY (id),
    CONSTRAINT ck_delivery_kind_known CHECK (kind IN ('mail', 'webhook')),
    CONSTRAINT ck_delivery_state_known CHECK (state IN ('pending', 'delivered', 'refused', 'dead', 'dropped')),
    CONSTRAINT ck_delivery_due_while_pending CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT ck_delivery_webhook_whole CHECK ((kind = 'webhook') = (endpoint_id IS NOT NULL AND body IS NOT NULL)),
    CONSTRAINT fk_delivery_event_id_event FOREIGN KEY(event_id) REFERENCES event (id),
    CONSTRAINT fk_delivery_endpoint_id_webhook_endpoint FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoint (id),
    CONSTRAINT fk_delivery_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT fk_delivery_appointment_id_appointment FOREIGN KEY(appointment_id) REFERENCES appointment (id)
);

CREATE INDEX ix_delivery_appointment_id ON delivery (appointment_id);

CREATE INDEX ix_delivery_endpoint_id ON delivery USING btree (endpoint_id, id) WHERE kind = 'webhook';

CREATE INDEX ix_delivery_endpoint_next_attempt_at ON delivery USING btree (endpoint_id, next_attempt_at) WHERE state = 'pending' AND kind = 'webhook';

CREATE INDEX ix_delivery_event_id ON delivery (event_id);

CREATE INDEX ix_delivery_next_attempt_at ON delivery USING btree (next_attempt_at) WHERE state = 'pending' AND kind = 'mail';

CREATE INDEX ix_delivery_person_id ON delivery (person_id);

CREATE INDEX ix_delivery_settled_at ON delivery USING btree (settled_at) WHERE kind = 'webhook';

CREATE UNIQUE INDEX uq_delivery_endpoint_event ON delivery USING btree (endpoint_id, event_id) WHERE kind = 'webhook';

CREATE TABLE session (
    id UUID NOT NULL,
    appointment_id UUID,
    consultation_id UUID NOT NULL,
    memorandum_id UUID NOT NULL,
    programme_id UUID NOT NULL,
    route VARCHAR NOT NULL,
    is_memorandum_chosen_anew BOOLEAN NOT NULL,
    mode VARCHAR NOT NULL,
    specialty_code VARCHAR NOT NULL,
    priority VARCHAR NOT NULL,
    requesting_institution_id UUID NOT NULL,
    partner_institution_id UUID NOT NULL,
    clinician_id UUID NOT NULL,
    mentor_id UUID NOT NULL,
    participants UUID[] DEFAULT '{}' NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    minutes INTEGER NOT NULL,
    outcome VARCHAR NOT NULL,
    is_civil_for_requester BOOLEAN NOT NULL,
    is_civil_for_mentor BOOLEAN NOT NULL,
    is_corrected BOOLEAN NOT NULL,
    conclusion BYTEA,
    CONSTRAINT pk_session PRIMARY KEY (id),
    CONSTRAINT ck_session_route_known CHECK (route IN ('direct', 'network', 'umbrella')),
    CONSTRAINT ck_session_mode_known CHECK (mode IN ('live', 'written')),
    CONSTRAINT ck_session_outcome_known CHECK (outcome IN ('advice_given', 'plan_changed', 'referred', 'no_show_mentor', 'no_show_clinician', 'interrupted_alert', 'interrupted_power', 'interrupted_link', 'cancelled_late')),
    CONSTRAINT ck_session_in_order CHECK (started_at <= ended_at),
    CONSTRAINT ck_session_minutes_bounded CHECK (minutes BETWEEN 0 AND 1440),
    CONSTRAINT fk_session_appointment_id_appointment FOREIGN KEY(appointment_id) REFERENCES appointment (id),
    CONSTRAINT fk_session_consultation_id_consultation FOREIGN KEY(consultation_id) REFERENCES consultation (id),
    CONSTRAINT fk_session_memorandum_id_memorandum FOREIGN KEY(memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT fk_session_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id),
    CONSTRAINT fk_session_specialty_code_specialty FOREIGN KEY(specialty_code) REFERENCES specialty (code),
    CONSTRAINT fk_session_requesting_institution_id_institution FOREIGN KEY(requesting_institution_id) REFERENCES institution (id),
    CONSTRAINT fk_session_partner_institution_id_institution FOREIGN KEY(partner_institution_id) REFERENCES institution (id),
    CONSTRAINT fk_session_clinician_id_person FOREIGN KEY(clinician_id) REFERENCES person (id),
    CONSTRAINT fk_session_mentor_id_person FOREIGN KEY(mentor_id) REFERENCES person (id)
);

CREATE INDEX ix_session_appointment_id ON session (appointment_id);

CREATE INDEX ix_session_consultation_id ON session (consultation_id);

CREATE INDEX ix_session_memorandum_id_started_at ON session USING btree (memorandum_id, started_at) WHERE NOT is_corrected;

CREATE INDEX ix_session_partner_institution_id_started_at ON session USING btree (partner_institution_id, started_at) WHERE NOT is_corrected;

CREATE INDEX ix_session_programme_id_started_at ON session USING btree (programme_id, started_at);

CREATE INDEX ix_session_requesting_institution_id_mentor_id ON session USING btree (requesting_institution_id, mentor_id);

CREATE TABLE delivery_attempt (
    delivery_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome VARCHAR NOT NULL,
    error VARCHAR,
    status INTEGER,
    response VARCHAR,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_delivery_attempt PRIMARY KEY (delivery_id, attempt),
    CONSTRAINT fk_delivery_attempt_delivery_id_delivery FOREIGN KEY(delivery_id) REFERENCES delivery (id)
);

CREATE TABLE feedback (
    id UUID NOT NULL,
    session_id UUID NOT NULL,
    person_id UUID NOT NULL,
    side VARCHAR NOT NULL,
    is_useful BOOLEAN NOT NULL,
    patient_outcome VARCHAR,
    note BYTEA,
    given_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_feedback PRIMARY KEY (id),
    CONSTRAINT ck_feedback_side_known CHECK (side IN ('requesting', 'partner')),
    CONSTRAINT ck_feedback_patient_outcome_known CHECK (patient_outcome IN ('better', 'same', 'worse', 'died', 'unknown')),
    CONSTRAINT fk_feedback_session_id_session FOREIGN KEY(session_id) REFERENCES session (id),
    CONSTRAINT fk_feedback_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
);

CREATE UNIQUE INDEX uq_feedback_side ON feedback USING btree (session_id, side);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit' AND current_setting('pobratym.retention', true) = 'over' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER tg_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER tg_log_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entry FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION mark_consultation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT OLD.programme_id, OLD.opened_at WHERE OLD.opened_at IS NOT NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT NEW.programme_id, NEW.opened_at WHERE NEW.opened_at IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_consultation_marks AFTER INSERT OR DELETE OR UPDATE OF programme_id, opened_at, answer_due_at, priority, state, closed_at ON consultation FOR EACH ROW EXECUTE FUNCTION mark_consultation();

CREATE FUNCTION mark_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT m.programme_id, OLD.sent_at FROM memorandum m WHERE m.id = OLD.memorandum_id
        UNION ALL SELECT c.programme_id, c.opened_at FROM consultation c WHERE c.opened_at IS NOT NULL AND c.id = OLD.consultation_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT m.programme_id, NEW.sent_at FROM memorandum m WHERE m.id = NEW.memorandum_id
        UNION ALL SELECT c.programme_id, c.opened_at FROM consultation c WHERE c.opened_at IS NOT NULL AND c.id = NEW.consultation_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_offer_marks AFTER INSERT OR DELETE OR UPDATE OF memorandum_id, consultation_id, mentor_id, wave, state, sent_at, answered_at, counter_starts, decline_reason ON offer FOR EACH ROW EXECUTE FUNCTION mark_offer();

CREATE FUNCTION mark_participant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT c.programme_id, c.opened_at FROM consultation c JOIN appointment a ON a.consultation_id = c.id WHERE c.opened_at IS NOT NULL AND a.id = OLD.appointment_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT c.programme_id, c.opened_at FROM consultation c JOIN appointment a ON a.consultation_id = c.id WHERE c.opened_at IS NOT NULL AND a.id = NEW.appointment_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_participant_marks AFTER INSERT OR DELETE OR UPDATE OF offer_id ON participant FOR EACH ROW EXECUTE FUNCTION mark_participant();

CREATE FUNCTION mark_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT OLD.programme_id, OLD.started_at
        UNION ALL SELECT c.programme_id, c.opened_at FROM consultation c WHERE c.opened_at IS NOT NULL AND c.id = OLD.consultation_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT NEW.programme_id, NEW.started_at
        UNION ALL SELECT c.programme_id, c.opened_at FROM consultation c WHERE c.opened_at IS NOT NULL AND c.id = NEW.consultation_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_session_marks AFTER INSERT OR DELETE OR UPDATE ON session FOR EACH ROW EXECUTE FUNCTION mark_session();

CREATE FUNCTION mark_feedback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT s.programme_id, s.started_at FROM session s WHERE s.id = OLD.session_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO report_mark (programme_id, at)
        SELECT s.programme_id, s.started_at FROM session s WHERE s.id = NEW.session_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_feedback_marks AFTER INSERT OR DELETE OR UPDATE OF session_id, side, is_useful, patient_outcome ON feedback FOR EACH ROW EXECUTE FUNCTION mark_feedback();

CREATE FUNCTION mark_ranking_by_mentor_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_mentor_profile_ranking_insert AFTER INSERT ON mentor_profile REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_mentor_profile();

CREATE TRIGGER tg_mentor_profile_ranking_update AFTER UPDATE ON mentor_profile REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_mentor_profile();

CREATE TRIGGER tg_mentor_profile_ranking_delete AFTER DELETE ON mentor_profile REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_mentor_profile();

CREATE FUNCTION mark_ranking_by_mentor_specialty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_mentor_specialty_ranking_insert AFTER INSERT ON mentor_specialty REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_mentor_specialty();

CREATE TRIGGER tg_mentor_specialty_ranking_update AFTER UPDATE ON mentor_specialty REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_mentor_specialty();

CREATE TRIGGER tg_mentor_specialty_ranking_delete AFTER DELETE ON mentor_specialty REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_mentor_specialty();

CREATE FUNCTION mark_ranking_by_weekly_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_weekly_hours_ranking_insert AFTER INSERT ON weekly_hours REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_weekly_hours();

CREATE TRIGGER tg_weekly_hours_ranking_update AFTER UPDATE ON weekly_hours REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_weekly_hours();

CREATE TRIGGER tg_weekly_hours_ranking_delete AFTER DELETE ON weekly_hours REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_weekly_hours();

CREATE FUNCTION mark_ranking_by_availability_exception() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_availability_exception_ranking_insert AFTER INSERT ON availability_exception REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_availability_exception();

CREATE TRIGGER tg_availability_exception_ranking_update AFTER UPDATE ON availability_exception REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_availability_exception();

CREATE TRIGGER tg_availability_exception_ranking_delete AFTER DELETE ON availability_exception REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_availability_exception();

CREATE FUNCTION mark_ranking_by_person_language() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_person_language_ranking_insert AFTER INSERT ON person_language REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_person_language();

CREATE TRIGGER tg_person_language_ranking_update AFTER UPDATE ON person_language REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_person_language();

CREATE TRIGGER tg_person_language_ranking_delete AFTER DELETE ON person_language REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_person_language();

CREATE FUNCTION mark_ranking_by_seat() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_seat_ranking_insert AFTER INSERT ON seat REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_seat();

CREATE TRIGGER tg_seat_ranking_update AFTER UPDATE ON seat REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_seat();

CREATE TRIGGER tg_seat_ranking_delete AFTER DELETE ON seat REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_seat();

CREATE FUNCTION mark_ranking_by_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT mentor_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_offer_ranking_insert AFTER INSERT ON offer REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_offer();

CREATE TRIGGER tg_offer_ranking_update AFTER UPDATE ON offer REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_offer();

CREATE TRIGGER tg_offer_ranking_delete AFTER DELETE ON offer REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_offer();

CREATE FUNCTION mark_ranking_by_participant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT person_id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_participant_ranking_insert AFTER INSERT ON participant REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_participant();

CREATE TRIGGER tg_participant_ranking_update AFTER UPDATE ON participant REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_participant();

CREATE TRIGGER tg_participant_ranking_delete AFTER DELETE ON participant REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_participant();

CREATE FUNCTION mark_ranking_by_appointment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT t.person_id FROM changed JOIN participant t ON t.appointment_id = changed.id AND t.role = 'mentor') AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_appointment_ranking_update AFTER UPDATE ON appointment REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_appointment();

CREATE FUNCTION mark_ranking_by_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_person_ranking_update AFTER UPDATE ON person REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_person();

CREATE FUNCTION mark_ranking_by_institution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT id FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_institution_ranking_update AFTER UPDATE ON institution REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_institution();

CREATE FUNCTION mark_ranking_by_programme() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_programme_ranking_insert AFTER INSERT ON programme REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_programme();

CREATE TRIGGER tg_programme_ranking_update AFTER UPDATE ON programme REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_programme();

CREATE TRIGGER tg_programme_ranking_delete AFTER DELETE ON programme REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_programme();

CREATE FUNCTION mark_ranking_by_specialty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_specialty_ranking_insert AFTER INSERT ON specialty REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_specialty();

CREATE TRIGGER tg_specialty_ranking_update AFTER UPDATE ON specialty REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_specialty();

CREATE TRIGGER tg_specialty_ranking_delete AFTER DELETE ON specialty REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_specialty();

CREATE FUNCTION mark_ranking_by_specialty_parent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_specialty_parent_ranking_insert AFTER INSERT ON specialty_parent REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_specialty_parent();

CREATE TRIGGER tg_specialty_parent_ranking_update AFTER UPDATE ON specialty_parent REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_specialty_parent();

CREATE TRIGGER tg_specialty_parent_ranking_delete AFTER DELETE ON specialty_parent REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_specialty_parent();

CREATE FUNCTION mark_ranking_by_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_membership_ranking_insert AFTER INSERT ON membership REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_membership();

CREATE TRIGGER tg_membership_ranking_update AFTER UPDATE ON membership REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_membership();

CREATE TRIGGER tg_membership_ranking_delete AFTER DELETE ON membership REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_membership();

CREATE FUNCTION mark_ranking_by_memorandum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_memorandum_ranking_insert AFTER INSERT ON memorandum REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum();

CREATE TRIGGER tg_memorandum_ranking_update AFTER UPDATE ON memorandum REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum();

CREATE TRIGGER tg_memorandum_ranking_delete AFTER DELETE ON memorandum REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum();

CREATE FUNCTION mark_ranking_by_memorandum_party() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_memorandum_party_ranking_insert AFTER INSERT ON memorandum_party REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum_party();

CREATE TRIGGER tg_memorandum_party_ranking_update AFTER UPDATE ON memorandum_party REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum_party();

CREATE TRIGGER tg_memorandum_party_ranking_delete AFTER DELETE ON memorandum_party REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum_party();

CREATE FUNCTION mark_ranking_by_memorandum_area() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ranking_mark (subject_id) SELECT DISTINCT id FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) FROM changed) AS concerned (id);
    RETURN NULL;
END
$$;

CREATE TRIGGER tg_memorandum_area_ranking_insert AFTER INSERT ON memorandum_area REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum_area();

CREATE TRIGGER tg_memorandum_area_ranking_update AFTER UPDATE ON memorandum_area REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum_area();

CREATE TRIGGER tg_memorandum_area_ranking_delete AFTER DELETE ON memorandum_area REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ranking_by_memorandum_area();

CREATE SCHEMA IF NOT EXISTS queue;

CREATE TYPE queue.pgqueuer_status AS ENUM ('queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed');

CREATE TABLE queue.pgqueuer (
    id bigserial NOT NULL PRIMARY KEY,
    priority integer NOT NULL,
    queue_manager_id uuid,
    created timestamp with time zone NOT NULL DEFAULT now(),
    updated timestamp with time zone NOT NULL DEFAULT now(),
    heartbeat timestamp with time zone NOT NULL DEFAULT now(),
    execute_after timestamp with time zone NOT NULL DEFAULT now(),
    status queue.pgqueuer_status NOT NULL,
    entrypoint text NOT NULL,
    dedupe_key text,
    payload bytea,
    headers jsonb,
    attempts integer NOT NULL DEFAULT 0,
    slot bigint
);

CREATE TABLE queue.pgqueuer_log (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL PRIMARY KEY,
    created timestamp with time zone NOT NULL DEFAULT now(),
    job_id bigint NOT NULL,
    status queue.pgqueuer_status NOT NULL,
    priority integer NOT NULL,
    entrypoint text NOT NULL,
    traceback jsonb,
    aggregated boolean DEFAULT false
);

CREATE TABLE queue.pgqueuer_schedules (
    id bigserial NOT NULL PRIMARY KEY,
    expression text NOT NULL,
    entrypoint text NOT NULL,
    heartbeat timestamp with time zone NOT NULL DEFAULT now(),
    created timestamp with time zone NOT NULL DEFAULT now(),
    updated timestamp with time zone NOT NULL DEFAULT now(),
    next_run timestamp with time zone NOT NULL DEFAULT now(),
    last_run timestamp with time zone,
    status queue.pgqueuer_status DEFAULT 'queued'::queue.pgqueuer_status,
    UNIQUE (expression, entrypoint)
);

CREATE TABLE queue.pgqueuer_statistics (
    id bigserial NOT NULL PRIMARY KEY,
    created timestamp with time zone NOT NULL DEFAULT date_trunc('sec'::text, now()),
    count bigint NOT NULL,
    priority integer NOT NULL,
    status queue.pgqueuer_status NOT NULL,
    entrypoint text NOT NULL
);

CREATE INDEX pgqueuer_ep_ea_idx ON queue.pgqueuer USING btree (entrypoint, execute_after) WHERE (status = 'queued'::queue.pgqueuer_status);

CREATE INDEX pgqueuer_ep_prio_id_idx ON queue.pgqueuer USING btree (entrypoint, priority DESC, id) WHERE (status = 'queued'::queue.pgqueuer_status);

CREATE INDEX pgqueuer_log_created ON queue.pgqueuer_log USING btree (created);

CREATE INDEX pgqueuer_log_job_id_status ON queue.pgqueuer_log USING btree (job_id, created DESC);

CREATE INDEX pgqueuer_log_not_aggregated ON queue.pgqueuer_log USING btree ((1)) WHERE (NOT aggregated);

CREATE INDEX pgqueuer_log_status ON queue.pgqueuer_log USING btree (status);

CREATE INDEX pgqueuer_picked_heartbeat_idx ON queue.pgqueuer USING btree (heartbeat) WHERE (status = 'picked'::queue.pgqueuer_status);

CREATE UNIQUE INDEX pgqueuer_picked_slot_idx ON queue.pgqueuer USING btree (entrypoint, slot) WHERE ((status = 'picked'::queue.pgqueuer_status) AND (slot IS NOT NULL));

CREATE INDEX pgqueuer_priority_id_id1_idx ON queue.pgqueuer USING btree (priority, id DESC) INCLUDE (id) WHERE (status = 'queued'::queue.pgqueuer_status);

CREATE INDEX pgqueuer_queue_manager_id_idx ON queue.pgqueuer USING btree (queue_manager_id) WHERE (queue_manager_id IS NOT NULL);

CREATE UNIQUE INDEX pgqueuer_statistics_unique_count ON queue.pgqueuer_statistics USING btree (priority, date_trunc('sec'::text, timezone('UTC'::text, created)), status, entrypoint);

CREATE UNIQUE INDEX pgqueuer_unique_dedupe_key ON queue.pgqueuer USING btree (dedupe_key) WHERE ((status = ANY (ARRAY['queued'::queue.pgqueuer_status, 'picked'::queue.pgqueuer_status])) AND (dedupe_key IS NOT NULL));

CREATE INDEX pgqueuer_updated_id_id1_idx ON queue.pgqueuer USING btree (updated, id DESC) INCLUDE (id) WHERE (status = 'picked'::queue.pgqueuer_status);

CREATE FUNCTION queue.fn_pgqueuer_changed() RETURNS TRIGGER AS $$
DECLARE
    to_emit BOOLEAN := false;  -- Flag to decide whether to emit a notification
BEGIN
    -- Check operation type and set the emit flag accordingly
    IF TG_OP = 'UPDATE' AND OLD IS DISTINCT FROM NEW THEN
        to_emit := true;
    ELSIF TG_OP = 'DELETE' THEN
        to_emit := true;
    ELSIF TG_OP = 'INSERT' THEN
        to_emit := true;
    ELSIF TG_OP = 'TRUNCATE' THEN
        to_emit := true;
    END IF;

    -- Perform notification if the emit flag is set
    IF to_emit THEN
        PERFORM pg_notify(
            'ch_pgqueuer',
            json_build_object(
                'channel', 'ch_pgqueuer',
                'operation', lower(TG_OP),
                'sent_at', NOW(),
                'table', TG_TABLE_NAME,
                'type', 'table_changed_event'
            )::text
        );
    END IF;

    -- Return appropriate value based on the operation
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    ELSE
        RETURN NULL; -- For TRUNCATE and other non-row-specific contexts
    END IF;

END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tg_pgqueuer_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON queue.pgqueuer
EXECUTE FUNCTION queue.fn_pgqueuer_changed();
