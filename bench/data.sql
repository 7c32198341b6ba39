-- What the bench is filled with. Each part is a script; $1 is the present, further values are said by data.py.

-- part places
INSERT INTO programme (id, code, name, name_en, country, zone, created_at)
SELECT md5('programme ' || name)::uuid, name, name, name, 'UA', 'Europe/Kyiv', $1 FROM unnest(ARRAY['big', 'small', 'crowd']) AS name;
INSERT INTO specialty (code, parent_code, name_en, name_uk, is_bookable)
SELECT 'root' || n, NULL, 'r', 'r', false FROM generate_series(0, 4) AS n;
INSERT INTO specialty (code, parent_code, name_en, name_uk, is_bookable)
SELECT 's' || n, 'root' || n % 5, 's', 's', true FROM generate_series(0, 39) AS n;
INSERT INTO institution (id, name, kind, country, region, zone, created_at)
SELECT md5('institution ask' || n)::uuid, 'Asking ' || n, 'hospital', 'UA', 'UA-' || 10 + n % 25, 'Europe/Kyiv', $1
FROM generate_series(1, 1003) AS n;
INSERT INTO institution (id, name, kind, country, zone, created_at)
SELECT md5('institution answer' || n)::uuid, 'Answering ' || n, 'hospital',
       (ARRAY['FR', 'DE', 'LT', 'PL', 'NO'])[1 + n % 5],
       (ARRAY['Europe/Paris', 'Europe/Berlin', 'Europe/Vilnius', 'Europe/Warsaw', 'Europe/Oslo'])[1 + n % 5], $1
FROM generate_series(1, $2::int / 20) AS n;
INSERT INTO institution (id, name, kind, country, zone, created_at)
VALUES (md5('institution network')::uuid, 'Network', 'network', 'FR', 'Europe/Paris', $1);
INSERT INTO membership (id, institution_id, network_id, from_on)
SELECT md5('membership ' || n)::uuid, md5('institution answer' || n)::uuid, md5('institution network')::uuid, '2025-01-01'
FROM generate_series(6, 105) AS n WHERE n <= $2::int / 20;

-- part memoranda
CREATE TEMPORARY TABLE agreed AS
SELECT n, md5('memorandum ' || n)::uuid AS id, n % 200 + 1 AS asks,
       ((hashtext('m' || n) & 1048575) % greatest(1, $2::int / 20 - 107)) + 108 AS answers, 'bilateral' AS kind, 'big' AS programme
FROM generate_series(1, 1000) AS n;
INSERT INTO agreed SELECT 2000 + n, md5('memorandum fifty ' || n)::uuid, 1001, n, 'bilateral', 'big' FROM generate_series(1, 5) AS n;
INSERT INTO agreed VALUES (3000, md5('memorandum umbrella')::uuid, 1002, 0, 'umbrella', 'big');
INSERT INTO agreed SELECT 4000 + n, md5('memorandum accept ' || n)::uuid, 1003, n, 'bilateral', 'big' FROM generate_series(106, 107) AS n;
INSERT INTO agreed SELECT 5000 + n, md5('memorandum small ' || n)::uuid, n, n, 'bilateral', 'small' FROM generate_series(1, 100) AS n;
INSERT INTO memorandum (id, programme_id, kind, status, signed_on, signed_precision, valid_from, valid_until, activities, created_at)
SELECT id, md5('programme ' || programme)::uuid, kind, 'active', '2024-12-01', 'on', '2025-01-01', '2035-01-01',
       ARRAY['teleconsultation'], $1 FROM agreed;
INSERT INTO memorandum_party (memorandum_id, institution_id, side)
SELECT id, md5('institution ask' || asks)::uuid, 'requesting' FROM agreed;
INSERT INTO memorandum_party (memorandum_id, institution_id, side)
SELECT id, md5('institution ' || CASE answers WHEN 0 THEN 'network' ELSE 'answer' || answers END)::uuid, 'partner' FROM agreed;

-- part people
INSERT INTO person (id, email, display_name, locale, zone, state, created_at)
SELECT md5('mentor ' || i)::uuid, 'mentor' || i || '@bench.example', 'Mentor ' || i, 'en',
       (ARRAY['Europe/Paris', 'Europe/Berlin', 'Europe/Vilnius', 'Europe/Warsaw', 'Europe/Oslo'])[1 + ((i - 1) / 20 + 1) % 5], 'active', $1
FROM generate_series(1, $2::int) AS i;
INSERT INTO role_grant (id, person_id, role, institution_id, created_at)
SELECT md5('grant mentor ' || i)::uuid, md5('mentor ' || i)::uuid, 'mentor',
       md5('institution answer' || (i - 1) / 20 + 1)::uuid, $1 FROM generate_series(1, $2::int) AS i;
INSERT INTO mentor_profile (person_id, institution_id, verified_until, sessions_per_week, offers_per_week, treats_children,
                            notice_minutes, availability_zone, created_at)
SELECT md5('mentor ' || i)::uuid, md5('institution answer' || (i - 1) / 20 + 1)::uuid, $1 + interval '3 years', 100, 100, true, 60,
       (ARRAY['Europe/Paris', 'Europe/Berlin', 'Europe/Vilnius', 'Europe/Warsaw', 'Europe/Oslo'])[1 + ((i - 1) / 20 + 1) % 5], $1
FROM generate_series(1, $2::int) AS i;
INSERT INTO mentor_specialty (person_id, specialty_code)
SELECT md5('mentor ' || i)::uuid, 's' || CASE WHEN i > $3::int THEN (hashtext('s' || i) & 1048575) % 40
                                              WHEN i % 2 = 1 OR i > 2100 THEN 0 ELSE 21 END
FROM generate_series(1, $2::int) AS i;
INSERT INTO person_language (person_id, code, level)
SELECT md5('mentor ' || i)::uuid, code, CASE code WHEN 'en' THEN 'C1' ELSE 'B2' END
FROM generate_series(1, $2::int) AS i, unnest(ARRAY['en', 'fr']) AS code;
INSERT INTO weekly_hours (id, person_id, weekday, from_minute, until_minute)
SELECT md5('hours ' || i || ' ' || day)::uuid, md5('mentor ' || i)::uuid, day,
       480 + 30 * ((hashtext('h' || i) & 1048575) % 5), 960 + 30 * ((hashtext('h' || i) & 1048575) % 5)
FROM generate_series(1, $2::int) AS i, generate_series(0, CASE WHEN i > 2100 THEN 4 ELSE 6 END) AS day;
INSERT INTO person (id, email, display_name, locale, zone, state, created_at)
SELECT md5('clinician ' || i)::uuid, 'clinician' || i || '@bench.example', 'Clinician ' || i, 'uk', 'Europe/Kyiv', 'active', $1
FROM generate_series(1, 1003) AS i;
INSERT INTO role_grant (id, person_id, role, institution_id, created_at)
SELECT md5('grant ' || role || i)::uuid, md5('clinician ' || i)::uuid, role, md5('institution ask' || i)::uuid, $1
FROM generate_series(1, 1003) AS i, unnest(ARRAY['clinician', 'coordinator']) AS role;
INSERT INTO person (id, email, display_name, locale, zone, state, created_at)
VALUES (md5('admin')::uuid, 'admin@bench.example', 'Admin', 'en', 'Europe/Kyiv', 'active', $1);
INSERT INTO role_grant (id, person_id, role, programme_id, created_at)
SELECT md5('grant admin ' || name)::uuid, md5('admin')::uuid, 'programme_admin', md5('programme ' || name)::uuid, $1
FROM unnest(ARRAY['big', 'small']) AS name;

-- part past
-- $3 programme, $4 how many cases: answered in the past year, by the ranked mentors one in ten.
CREATE TEMPORARY TABLE past AS
SELECT n, md5($3::text || ' case ' || n)::uuid AS id, md5($3::text || ' visit ' || n)::uuid AS visit_id,
       h % 200 + 1 AS asks, answers, (answers - 1) / 20 + 1 AS place,
       md5('memorandum ' || CASE $3::text WHEN 'small' THEN 'small ' || h % 100 + 1 ELSE (h % 1000 + 1)::text END)::uuid AS memorandum_id,
       date_trunc('hour', $1::timestamptz) - make_interval(hours => 1 + h2 % 8600, mins => 15 * (h % 4)) AS opened_at,
       make_interval(mins => 30 + h2 % 5000) AS waited,
       (ARRAY['routine', 'routine', 'urgent', 'urgent', 'asap', 'stat'])[1 + h % 6] AS priority, h, h2
FROM (SELECT n, hashtext($3::text || n) & 1048575 AS h, hashtext(n || $3::text) & 1048575 AS h2,
             1 + (hashtext('by' || n) & 1048575) % CASE WHEN n % 10 = 0 THEN least(2100, $2::int) ELSE $2::int END AS answers
      FROM generate_series(1, $4::int) AS n) AS dice;
INSERT INTO consultation (id, programme_id, activity, institution_id, clinician_id, specialty_code, priority, mode, state, languages, is_translated,
    age_band, duration_minutes, consent_scope, consent_given_on, opened_at, answer_due_at, waves, closed_at, created_at, is_forgotten)
SELECT id, md5('programme ' || $3::text)::uuid, 'teleconsultation', md5('institution ask' || asks)::uuid, md5('clinician ' || asks)::uuid, 's' || h % 40,
       priority, 'live', 'completed', ARRAY['en'], false, 'child', 30, 'general', opened_at::date, opened_at,
       opened_at + interval '3 days', 1 + (n % 3 = 0)::int, opened_at + waited + interval '1 hour', opened_at,
       true FROM past; -- nothing to forget: no worker of the bench is to begin with it
INSERT INTO offer (id, consultation_id, mentor_id, institution_id, memorandum_id, route, kind, state, wave, sent_at, answer_by,
    answered_at, created_at)
SELECT md5($3::text || ' offer ' || n)::uuid, id, md5('mentor ' || answers)::uuid, md5('institution answer' || place)::uuid, memorandum_id,
       'direct', 'live', 'accepted', 1 + (n % 3 = 0)::int, opened_at, opened_at + interval '1 day', opened_at + waited / 3, opened_at
FROM past;
INSERT INTO offer (id, consultation_id, mentor_id, institution_id, memorandum_id, route, kind, state, wave, sent_at, answer_by,
    decline_reason, created_at)
SELECT md5($3::text || ' rival ' || n)::uuid, id, md5('mentor ' || answers % $2::int + 1)::uuid, md5('institution answer' || place)::uuid,
       memorandum_id, 'direct', 'live', CASE n % 2 WHEN 0 THEN 'expired' ELSE 'declined' END, 1, opened_at,
       opened_at + interval '1 day', CASE n % 2 WHEN 1 THEN 'wrong_specialty' END, opened_at FROM past WHERE n % 3 = 0;
INSERT INTO appointment (id, consultation_id, memorandum_id, route, status, starts_at, ends_at, tzdata_version, dtstamp, sequence, created_at)
SELECT visit_id, id, memorandum_id, 'direct', 'fulfilled', opened_at + waited, opened_at + waited + interval '30 min', $5,
       opened_at, 0, opened_at FROM past;
INSERT INTO participant (appointment_id, person_id, institution_id, role, status, zone, wall, starts_at)
SELECT visit_id, md5('mentor ' || answers)::uuid, md5('institution answer' || place)::uuid, 'mentor', 'accepted', 'Europe/Paris',
       opened_at AT TIME ZONE 'Europe/Paris', opened_at FROM past;
INSERT INTO session (id, appointment_id, consultation_id, memorandum_id, programme_id, route, mode, specialty_code, priority,
    requesting_institution_id, partner_institution_id, clinician_id, mentor_id, participants, started_at, ended_at, minutes,
    outcome, is_civil_for_requester, is_civil_for_mentor, is_corrected, is_memorandum_chosen_anew)
SELECT md5($3::text || ' session ' || n)::uuid, visit_id, id, memorandum_id, md5('programme ' || $3::text)::uuid,
       (ARRAY['direct', 'network', 'umbrella'])[1 + h % 3], (ARRAY['live', 'live', 'written'])[1 + h2 % 3], 's' || h % 40, priority,
       md5('institution ask' || asks)::uuid, md5('institution answer' || place)::uuid, md5('clinician ' || asks)::uuid,
       md5('mentor ' || answers)::uuid, '{}', opened_at + waited, opened_at + waited + interval '25 min', 10 + h % 40,
       (ARRAY['advice_given', 'advice_given', 'plan_changed', 'referred', 'interrupted_alert', 'no_show_mentor'])[1 + h % 6],
       h % 5 > 0, h2 % 4 > 0, false, false FROM past;
INSERT INTO feedback (id, session_id, person_id, side, is_useful, patient_outcome, given_at)
SELECT md5($3::text || ' answer ' || n)::uuid, md5($3::text || ' session ' || n)::uuid, md5('clinician ' || asks)::uuid, 'requesting',
       h % 4 > 0, 'better', opened_at + waited + interval '1 day' FROM past WHERE n % 4 = 0;
DROP TABLE past;

-- part ahead
-- Booked ahead: three times for the ranked mentors, once for the others, none for those who accept. In a programme of
-- their own: so many requests of one instant are no year of one.
CREATE TEMPORARY TABLE ahead AS
SELECT i, k, md5('ahead ' || i || ' ' || k)::uuid AS visit_id, md5('ahead case ' || i || ' ' || k)::uuid AS id, 1 + h % 200 AS asks,
       date_trunc('day', $1::timestamptz) + make_interval(days => 1 + 4 * k + h % 3, hours => 8 + h % 8) AS starts_at
FROM generate_series(1, $2::int) AS i, generate_series(0, 2) AS k,
     LATERAL (SELECT hashtext('a' || i || ' ' || k) & 1048575 AS h) AS dice
WHERE (k = 0 OR i <= 2100) AND NOT (i BETWEEN 2101 AND 2140);
INSERT INTO consultation (id, programme_id, activity, institution_id, clinician_id, specialty_code, priority, mode, state, languages, is_translated,
    age_band, duration_minutes, consent_scope, opened_at, answer_due_at, created_at)
SELECT id, md5('programme crowd')::uuid, 'teleconsultation', md5('institution ask' || asks)::uuid, md5('clinician ' || asks)::uuid, 's0', 'routine', 'live',
       'scheduled', ARRAY['en'], false, 'child', 30, 'general', $1, starts_at, $1 FROM ahead;
INSERT INTO appointment (id, consultation_id, memorandum_id, route, status, starts_at, ends_at, tzdata_version, dtstamp, sequence, created_at)
SELECT visit_id, id, md5('memorandum 1')::uuid, 'direct', 'booked', starts_at, starts_at + interval '30 min', $3, $1, 0, $1 FROM ahead;
INSERT INTO participant (appointment_id, person_id, institution_id, role, status, zone, wall, starts_at)
SELECT visit_id, md5(who || CASE who WHEN 'mentor ' THEN i ELSE asks END)::uuid,
       md5('institution ' || CASE who WHEN 'mentor ' THEN 'answer' || (i - 1) / 20 + 1 ELSE 'ask' || asks END)::uuid, btrim(who),
       'accepted', 'Europe/Paris', starts_at AT TIME ZONE 'Europe/Paris', starts_at FROM ahead, unnest(ARRAY['mentor ', 'clinician ']) AS who;
INSERT INTO seat (appointment_id, person_id, during)
SELECT visit_id, md5('mentor ' || i)::uuid, tstzrange(starts_at, starts_at + interval '40 min') FROM ahead;
DROP TABLE ahead;

-- part open
INSERT INTO consultation (id, programme_id, activity, institution_id, clinician_id, specialty_code, priority, mode, state, languages, is_translated,
    age_band, duration_minutes, consent_scope, consent_given_on, opened_at, answer_due_at, created_at)
SELECT md5('open ' || asks || ' ' || days)::uuid, md5('programme big')::uuid, 'teleconsultation', md5('institution ask' || asks)::uuid,
       md5('clinician ' || asks)::uuid, 's0', 'routine', 'live', 'open', ARRAY['en'], false, 'child', 30, 'general', $1::timestamptz::date, $1,
       $1 + make_interval(days => days), $1
FROM unnest(ARRAY[1001, 1002]) AS asks, unnest(ARRAY[14, 60]) AS days;

-- part offers
-- $2 the pool's name, $3 how many offers, $4 first mentor, $5 how many of them, $6 offers for one time, $7 first time.
CREATE TEMPORARY TABLE pool AS
SELECT n, md5($2::text || ' case ' || n)::uuid AS id, md5($2::text || ' offer ' || n)::uuid AS offer_id,
       md5($2::text || ' clinician ' || n)::uuid AS clinician_id, $4::int + (n / $6::int) % $5::int AS mentor,
       date_trunc('day', $1::timestamptz) + make_interval(days => 2 + (slot / 10)::int, hours => 7, mins => 45 * (slot % 10)::int) AS starts_at
FROM generate_series(0, $3::int - 1) AS n, LATERAL (SELECT $7::int + n / $6::int / $5::int AS slot) AS placed;
INSERT INTO person (id, email, display_name, locale, zone, state, created_at)
SELECT clinician_id, clinician_id || '@bench.example', 'Clinician', 'uk', 'Europe/Kyiv', 'active', $1 FROM pool;
INSERT INTO role_grant (id, person_id, role, institution_id, created_at)
SELECT md5('grant ' || clinician_id)::uuid, clinician_id, 'clinician', md5('institution ask1003')::uuid, $1 FROM pool;
INSERT INTO consultation (id, programme_id, activity, institution_id, clinician_id, specialty_code, priority, mode, state, languages, is_translated,
    age_band, duration_minutes, consent_scope, consent_given_on, opened_at, answer_due_at, next_wave_at, waves, created_at)
SELECT id, md5('programme big')::uuid, 'teleconsultation', md5('institution ask1003')::uuid, clinician_id, 's0', 'routine', 'live', 'offered', ARRAY['en'], false,
       'child', 30, 'general', $1::timestamptz::date, $1, starts_at + interval '1 day', $1 + interval '1 day', 1, $1 FROM pool;
INSERT INTO offer (id, consultation_id, mentor_id, institution_id, memorandum_id, route, kind, state, wave, starts, sent_at,
    answer_by, created_at)
SELECT offer_id, id, md5('mentor ' || mentor)::uuid, md5('institution answer' || (mentor - 1) / 20 + 1)::uuid,
       md5('memorandum accept ' || (mentor - 1) / 20 + 1)::uuid, 'direct', 'live', 'pending', 1, ARRAY[starts_at], $1,
       $1 + interval '1 day', $1 FROM pool;

-- part cases
-- What triggers would copy (`tables.OfCase`).
UPDATE offer SET case_programme_id = c.programme_id, case_institution_id = c.institution_id, case_clinician_id = c.clinician_id,
    case_department = c.department FROM consultation c WHERE c.id = offer.consultation_id AND case_programme_id IS NULL;
UPDATE appointment SET case_programme_id = c.programme_id, case_institution_id = c.institution_id, case_clinician_id = c.clinician_id,
    case_department = c.department FROM consultation c WHERE c.id = appointment.consultation_id AND case_programme_id IS NULL;
