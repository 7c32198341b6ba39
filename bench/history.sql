-- A history of consultations, and what each leaves behind as the housekeeper leaves it. Parts are scripts; $names are
-- said by history.py. Numbers of people and places: history.py's docstring.

-- part functions
CREATE FUNCTION pg_temp.hid(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT md5('history ' || name)::uuid $$;
-- An id as `clock.new_id` makes it at this instant: ids of rows grow with the time of their making.
CREATE FUNCTION pg_temp.v7(at timestamptz, name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(name), 1, 3)
           || '8' || substr(md5(name), 4, 15))::uuid $$;
CREATE FUNCTION pg_temp.dice(name text) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT hashtext(name) & 1048575 $$;

-- part registry
INSERT INTO programme (id, code, name, name_en, country, zone, created_at)
SELECT pg_temp.hid('programme ' || n), 'history-' || n, 'Programme ' || n, 'Programme ' || n, 'UA', 'Europe/Kyiv', $began
FROM generate_series(1, 3) AS n;
INSERT INTO specialty (code, parent_code, name_en, name_uk, is_bookable)
SELECT 'history' || n, NULL, 'Root ' || n, 'Root ' || n, false FROM generate_series(0, 4) AS n;
INSERT INTO specialty (code, parent_code, name_en, name_uk, is_bookable)
SELECT 'history.s' || n, 'history' || n % 5, 'Specialty ' || n, 'Specialty ' || n, true FROM generate_series(0, 39) AS n;
INSERT INTO institution (id, code, name, name_en, kind, country, region, zone, has_coordinator, created_at)
SELECT pg_temp.hid('asking ' || n), 'history-asking-' || n, 'Asking ' || n, 'Asking ' || n, 'hospital', 'UA', 'UA-' || 10 + n % 25,
       'Europe/Kyiv', true, $began FROM generate_series(1, 60) AS n;
INSERT INTO institution (id, code, name, name_en, kind, country, zone, has_coordinator, created_at)
SELECT pg_temp.hid('answering ' || n), 'history-answering-' || n, 'Answering ' || n, 'Answering ' || n, 'hospital',
       (ARRAY['FR', 'DE', 'LT', 'PL', 'NO'])[1 + n % 5],
       (ARRAY['Europe/Paris', 'Europe/Berlin', 'Europe/Vilnius', 'Europe/Warsaw', 'Europe/Oslo'])[1 + n % 5], true, $began
FROM generate_series(1, 100) AS n;
INSERT INTO institution (id, code, name, name_en, kind, country, zone, created_at)
SELECT pg_temp.hid('network ' || n), 'history-network-' || n, 'Network ' || n, 'Network ' || n, 'hospital_network', 'FR', 'Europe/Paris',
       $began FROM generate_series(0, 2) AS n;
INSERT INTO membership (id, institution_id, network_id, from_on)
SELECT pg_temp.hid('membership ' || n), pg_temp.hid('answering ' || n), pg_temp.hid('network ' || n % 3), '2020-01-01'
FROM generate_series(1, 99) AS n;
INSERT INTO memorandum (id, code, programme_id, kind, status, signed_on, signed_precision, valid_from, valid_until, activities,
    budget_minutes, budget_per, budget_seen_at, created_at)
SELECT pg_temp.hid('memorandum ' || n), 'history-' || n,
       pg_temp.hid('programme ' || CASE WHEN n % 20 < 16 THEN 1 WHEN n % 20 < 19 THEN 2 ELSE 3 END),
       CASE WHEN n % 100 = 50 THEN 'umbrella' WHEN n % 4 = 0 THEN 'multilateral' ELSE 'bilateral' END,
       CASE n % 10 WHEN 7 THEN 'expired' WHEN 8 THEN 'suspended' ELSE 'active' END,
       $began::date - 30, 'on', $began::date - 20,
       CASE n % 10 WHEN 7 THEN $now::date - 100 ELSE $now::date + 2000 END, ARRAY['teleconsultation'],
       CASE WHEN n % 6 = 3 THEN 1000000 END, CASE WHEN n % 6 = 3 THEN 'year' END, CASE WHEN n % 6 = 3 THEN $now END, $began
FROM generate_series(1, 300) AS n;
INSERT INTO memorandum_party (memorandum_id, institution_id, side)
SELECT pg_temp.hid('memorandum ' || n), pg_temp.hid('asking ' || CASE n WHEN 300 THEN 60 ELSE (n - 1) % 59 + 1 END), 'requesting'
FROM generate_series(1, 300) AS n;
INSERT INTO memorandum_party (memorandum_id, institution_id, side)
SELECT pg_temp.hid('memorandum ' || n),
       CASE WHEN n % 100 = 50 THEN pg_temp.hid('network ' || (1 + (n - 1) * 7 % 99) % 3)
            ELSE pg_temp.hid('answering ' || CASE n WHEN 300 THEN 100 ELSE 1 + (n - 1) * 7 % 99 END) END, 'partner'
FROM generate_series(1, 300) AS n;
INSERT INTO memorandum_transition (id, memorandum_id, from_status, to_status, on_date, is_demo, created_at)
SELECT pg_temp.hid('transition ' || n || ' ' || k), pg_temp.hid('memorandum ' || n), (ARRAY['draft', 'signed', 'active'])[k],
       (ARRAY['signed', 'active', CASE n % 10 WHEN 7 THEN 'expired' ELSE 'suspended' END])[k],
       CASE k WHEN 3 THEN $now::date - 100 ELSE $began::date - 20 END, false, CASE k WHEN 3 THEN $now - interval '100 days' ELSE $began END
FROM generate_series(1, 300) AS n, generate_series(1, 3) AS k WHERE k < 3 OR n % 10 IN (7, 8);
INSERT INTO activity (id, programme_id, memorandum_id, kind, on_date, people_count, people_op, created_at)
SELECT pg_temp.v7($began + n * interval '8 hours', 'activity ' || n), m.programme_id, m.id,
       (ARRAY['visit', 'traineeship', 'conference', 'education'])[1 + n % 4], ($began + n * interval '8 hours')::date, 3 + n % 40, '=',
       $began + n * interval '8 hours'
FROM generate_series(1, 3000) AS n JOIN memorandum m ON m.id = pg_temp.hid('memorandum ' || 1 + n % 300);
INSERT INTO activity_institution (activity_id, institution_id, direction)
SELECT pg_temp.v7($began + n * interval '8 hours', 'activity ' || n), pg_temp.hid('answering ' || 1 + n % 99), 'to'
FROM generate_series(1, 3000) AS n;

-- part people
CREATE TEMPORARY TABLE made AS
SELECT 'clinician ' || n AS who, 'clinician' AS role, pg_temp.hid('asking ' || (n - 1) / 20 + 1) AS place, 'Europe/Kyiv' AS zone
FROM generate_series(1, 1200) AS n
UNION ALL SELECT 'coordinator ' || n, 'coordinator', pg_temp.hid('asking ' || n), 'Europe/Kyiv' FROM generate_series(1, 60) AS n
UNION ALL SELECT 'partner ' || n, 'coordinator', i.id, i.zone
          FROM generate_series(1, 100) AS n JOIN institution i ON i.id = pg_temp.hid('answering ' || n)
UNION ALL SELECT 'mentor ' || n, 'mentor', i.id, i.zone
          FROM generate_series(1, 1000) AS n JOIN institution i ON i.id = pg_temp.hid('answering ' || (n - 1) / 10 + 1)
UNION ALL SELECT 'admin ' || n, 'programme_admin', pg_temp.hid('programme ' || n), 'Europe/Kyiv' FROM generate_series(1, 3) AS n
UNION ALL SELECT 'admin of all', 'programme_admin', pg_temp.hid('programme ' || n), 'Europe/Kyiv' FROM generate_series(1, 3) AS n
UNION ALL SELECT 'system ' || n, 'partner_system', pg_temp.hid('asking ' || n), 'Europe/Kyiv' FROM unnest(ARRAY[1, 2, 60]) AS n
UNION ALL SELECT 'mentors system ' || n, 'partner_system', i.id, i.zone
          FROM unnest(ARRAY[1, 2, 100]) AS n JOIN institution i ON i.id = pg_temp.hid('answering ' || n);
INSERT INTO person (id, kind, email, display_name, locale, zone, state, created_at)
SELECT DISTINCT ON (who) pg_temp.hid(who), CASE role WHEN 'partner_system' THEN 'system' ELSE 'person' END,
       replace(who, ' ', '-') || '@history.example', initcap(who), CASE zone WHEN 'Europe/Kyiv' THEN 'uk' ELSE 'en' END, zone, 'active', $began
FROM made;
INSERT INTO role_grant (id, person_id, role, institution_id, programme_id, department, created_at)
SELECT pg_temp.hid('grant ' || who || place), pg_temp.hid(who), role, CASE WHEN role <> 'programme_admin' THEN place END,
       CASE WHEN role = 'programme_admin' THEN place END,
       CASE WHEN role = 'clinician' THEN 'ward ' || pg_temp.dice(who) % 5 END, $began FROM made;
INSERT INTO mentor_profile (person_id, institution_id, verified_until, sessions_per_week, offers_per_week, treats_children, notice_minutes,
    availability_zone, created_at)
SELECT pg_temp.hid(who), place, $now + interval '3 years', 100, 100, true, 60, zone, $began FROM made WHERE role = 'mentor';
INSERT INTO mentor_specialty (person_id, specialty_code)
SELECT DISTINCT pg_temp.hid(who), 'history.s' || pg_temp.dice(who || k) % 40 FROM made, generate_series(1, 8) AS k WHERE role = 'mentor';
INSERT INTO person_language (person_id, code, level)
SELECT pg_temp.hid(who), code, 'C1' FROM made, unnest(ARRAY['en', 'fr']) AS code WHERE role = 'mentor';
INSERT INTO weekly_hours (id, person_id, weekday, from_minute, until_minute)
SELECT pg_temp.hid('hours ' || who || day), pg_temp.hid(who), day, 480 + 30 * (pg_temp.dice(who) % 5), 960 + 30 * (pg_temp.dice(who) % 5)
FROM made, generate_series(0, 4) AS day WHERE role = 'mentor';
INSERT INTO client (id, institution_id, name, scopes, token_endpoint_auth_method, created_at)
SELECT pg_temp.hid(who), place, initcap(who), $scopes, 'client_secret_basic', $began FROM made WHERE role = 'partner_system';
INSERT INTO webhook_endpoint (id, institution_id, url, signature, state, warned_percent, counted, counted_failed, created_at)
SELECT pg_temp.hid('endpoint ' || who), place, 'https://hospital.example/' || replace(who, ' ', '-'), 'v1', 'active', 0, 0, 0, $began
FROM made WHERE role = 'partner_system';
INSERT INTO refresh_token (id, family_id, person_id, created_at, expires_at, used_at)
SELECT pg_temp.v7(at, 'token ' || who || k), pg_temp.hid('family ' || who || k / 10), pg_temp.hid(who), at, at + interval '30 days',
       CASE WHEN k > 1 THEN at END
FROM (SELECT DISTINCT who FROM made WHERE role <> 'partner_system') AS people, generate_series(1, 20) AS k,
     LATERAL (SELECT $now - make_interval(hours => 60 * k + pg_temp.dice(who) % 50) AS at) AS placed;
DROP TABLE made;

-- part cases
-- Cases $first to $last of $count, one after the other over $began to $until: who asked whom, what became of it and when.
CREATE TEMPORARY TABLE cases AS
SELECT n, 'past ' || n AS name, m, asks, (asks - 1) * 20 + 1 + h2 % 20 AS clinician, answers, (answers - 1) * 10 + 1 + h2 / 64 % 10 AS mentor,
       (answers - 1) * 10 + 1 + (1 + h2 / 64) % 10 AS rival, opened_at, h, h2,
       CASE WHEN h2 % 100 < 84 THEN 'completed' WHEN h2 % 100 < 91 THEN 'cancelled' ELSE 'expired' END AS state,
       h2 % 100 < 12 AS is_written
FROM (SELECT n, h, h2, m, CASE m WHEN 300 THEN 60 ELSE (m - 1) % 59 + 1 END AS asks, 1 + (m - 1) * 7 % 99 AS answers,
             $began + ($until - $began) * ((n + h2 / 1048576.0) / $count) AS opened_at
      FROM (SELECT n, h, pg_temp.dice(n || 'past') AS h2, 1 + floor(299 * (h / 1048576.0) ^ 2)::int AS m
            FROM (SELECT n, pg_temp.dice('past' || n) AS h FROM generate_series($first, $last) AS n) AS one) AS two) AS three;

-- part present
-- The same whatever the past: what is open now and what was closed lately. 1-150 of hospital, clinician, mentor and
-- memorandum 1; 151-153 of those of whom there is nothing else; the rest of everybody under what is in force.
CREATE TEMPORARY TABLE cases AS
SELECT n, 'present ' || n AS name, m, asks,
       CASE WHEN n <= 150 THEN 1 WHEN n <= 153 THEN 1200 ELSE (asks - 1) * 20 + 1 + h2 % 20 END AS clinician, answers,
       (answers - 1) * 10 + 1 + CASE WHEN n <= 153 THEN 0 ELSE h2 / 64 % 10 END AS mentor,
       (answers - 1) * 10 + 1 + CASE WHEN n <= 153 THEN 1 + n % 9 ELSE (1 + h2 / 64) % 10 END AS rival,
       CASE WHEN state = 'completed' THEN $now - interval '11 days' + n * interval '5 minutes' ELSE $now - n * interval '2 minutes' END AS opened_at,
       h, h2, state, false AS is_written
FROM (SELECT *, CASE m WHEN 300 THEN 60 ELSE (m - 1) % 59 + 1 END AS asks, CASE m WHEN 300 THEN 100 ELSE 1 + (m - 1) * 7 % 99 END AS answers
      FROM (SELECT n, pg_temp.dice('present' || n) AS h, pg_temp.dice(n || 'present') AS h2,
                   CASE WHEN n <= 150 THEN 1 WHEN n <= 153 THEN 300 ELSE 1 + 10 * (n % 29) + n % 6 END AS m,
                   CASE WHEN n <= 10 THEN 'open' WHEN n <= 30 THEN 'offered' WHEN n <= 45 THEN 'scheduled' WHEN n <= 48 THEN 'unmatched'
                        WHEN n <= 50 THEN 'draft' WHEN n <= 150 THEN 'completed' WHEN n = 151 THEN 'offered' WHEN n = 152 THEN 'scheduled'
                        ELSE (ARRAY['completed', 'completed', 'scheduled', 'completed', 'offered', 'completed'])[1 + n % 6] END AS state
            FROM generate_series(1, 400) AS n) AS one) AS two;

-- part timed
ALTER TABLE cases ADD id uuid, ADD programme_id uuid, ADD memorandum_id uuid, ADD asking_id uuid, ADD answering_id uuid, ADD clinician_id uuid,
    ADD mentor_id uuid, ADD rival_id uuid, ADD offer_id uuid, ADD other_id uuid, ADD visit_id uuid, ADD session_id uuid, ADD mentors_zone text,
    ADD specialty text, ADD priority text, ADD route text, ADD answered_at timestamptz, ADD starts_at timestamptz, ADD minutes int,
    ADD closed_at timestamptz, ADD has_visit boolean, ADD was_held boolean, ADD is_forgotten boolean;
UPDATE cases SET
    id = pg_temp.v7(opened_at, name), programme_id = memorandum.programme_id, memorandum_id = memorandum.id, asking_id = pg_temp.hid('asking ' || asks),
    answering_id = institution.id, clinician_id = pg_temp.hid('clinician ' || clinician), mentor_id = pg_temp.hid('mentor ' || mentor),
    rival_id = pg_temp.hid('mentor ' || rival), offer_id = pg_temp.v7(opened_at + interval '1 second', name || ' offer'),
    other_id = pg_temp.v7(opened_at + interval '1 second', name || ' other'), mentors_zone = institution.zone,
    specialty = 'history.s' || h % 40, priority = (ARRAY['routine', 'routine', 'routine', 'urgent', 'urgent', 'asap', 'stat'])[1 + h / 64 % 7],
    route = CASE WHEN memorandum.kind = 'umbrella' THEN 'umbrella' ELSE 'direct' END, answered_at = opened_at + make_interval(mins => 10 + h % 1200),
    starts_at = CASE state WHEN 'scheduled' THEN date_trunc('hour', $now) + n * interval '1 hour'
                ELSE date_trunc('hour', opened_at) + make_interval(hours => 24 + h2 % 144, mins => 15 * (h % 4)) END,
    minutes = 10 + h % 40, has_visit = state IN ('completed', 'scheduled') AND NOT is_written OR state = 'cancelled' AND h % 2 = 0,
    was_held = state = 'completed'
FROM memorandum, (SELECT id, zone FROM institution) AS institution
WHERE memorandum.id = pg_temp.hid('memorandum ' || m) AND institution.id = pg_temp.hid('answering ' || answers);
UPDATE cases SET visit_id = pg_temp.v7(answered_at, name || ' visit'), session_id = pg_temp.v7(starts_at + interval '50 minutes', name || ' session'),
    closed_at = CASE state WHEN 'completed' THEN starts_at + interval '50 minutes' WHEN 'cancelled' THEN starts_at - interval '2 hours'
                WHEN 'expired' THEN opened_at + interval '8 days' END;
UPDATE cases SET is_forgotten = coalesce(closed_at < $now - interval '90 days', false);
CREATE TEMPORARY TABLE texts (id uuid PRIMARY KEY, question bytea, conclusion bytea);

-- part written
ANALYZE texts;
INSERT INTO consultation (id, version, programme_id, activity, institution_id, clinician_id, department, specialty_code, priority, mode, state, question,
    languages, is_translated, age_band, duration_minutes, consent_scope, consent_given_on, opened_at, answer_due_at, next_wave_at, waves,
    cancel_reason, closed_at, created_at, is_forgotten, created_by)
SELECT c.id, 4, programme_id, 'teleconsultation', asking_id, clinician_id, CASE WHEN NOT is_forgotten THEN 'ward ' || h % 5 END, specialty, priority,
       CASE WHEN is_written THEN 'either' ELSE 'live' END, state, texts.question, ARRAY['en'], false, (ARRAY['child', 'adult'])[1 + h % 2], 30,
       'general', opened_at::date, CASE WHEN state <> 'draft' THEN opened_at END, CASE WHEN state <> 'draft' THEN opened_at + interval '8 days' END,
       CASE WHEN state IN ('open', 'offered', 'unmatched') THEN $now + interval '6 hours' END, 1 + (h % 4 = 0)::int,
       CASE state WHEN 'cancelled' THEN 'no_longer_needed' END, closed_at, opened_at, is_forgotten, clinician_id
FROM cases c LEFT JOIN texts USING (id) ORDER BY c.id;
INSERT INTO offer (id, version, consultation_id, mentor_id, institution_id, memorandum_id, route, kind, state, wave, starts, counter_starts, sent_at,
    answer_by, answered_at, decline_reason, terms, created_at, case_programme_id, case_institution_id, case_clinician_id, case_department)
SELECT CASE k WHEN 1 THEN offer_id ELSE other_id END, 2, id, CASE k WHEN 1 THEN mentor_id ELSE rival_id END, answering_id, memorandum_id, route,
       CASE WHEN is_written THEN 'either' ELSE 'live' END, s.state, 1 + (h % 4 = 0)::int, ARRAY[starts_at, starts_at + interval '1 day'],
       CASE s.state WHEN 'countered' THEN ARRAY[$now + n * interval '1 hour'] ELSE '{}' END, opened_at + interval '1 second',
       CASE WHEN s.state = 'pending' THEN $now + interval '20 hours' ELSE opened_at + interval '1 day' END,
       CASE WHEN s.state IN ('accepted', 'declined', 'countered') THEN answered_at END, CASE s.state WHEN 'declined' THEN 'busy' END,
       jsonb_build_object('load', 1.0, 'tags', 1.0, 'score', 82.333333, 'speed', 0.9166666666666666, 'language', 1.0, 'diversity', 1.0,
           'specialty', 1.0, 'continuity', 0.0, 'memorandum', 1.0, 'civil_hours', 1.0, 'reliability', 0.5, 'power_and_link', 1.0), opened_at,
       programme_id, asking_id, clinician_id, CASE WHEN NOT is_forgotten THEN 'ward ' || h % 5 END
FROM cases, generate_series(1, 2) AS k, LATERAL (SELECT CASE
       WHEN cases.state IN ('completed', 'scheduled') OR cases.state = 'cancelled' AND has_visit THEN
           CASE k WHEN 1 THEN 'accepted' ELSE (ARRAY['withdrawn', 'declined'])[1 + h % 2] END
       WHEN cases.state = 'offered' THEN CASE WHEN k = 2 AND n % 5 = 0 THEN 'countered' ELSE 'pending' END
       ELSE (ARRAY['expired', 'declined'])[1 + (h + k) % 2] END AS state) AS s
WHERE cases.state NOT IN ('draft', 'open') ORDER BY 1;
INSERT INTO appointment (id, version, consultation_id, memorandum_id, route, status, starts_at, ends_at, tzdata_version, cancel_reason, sequence, dtstamp,
    remind_at, created_at, case_programme_id, case_institution_id, case_clinician_id, case_department)
SELECT visit_id, 2, id, memorandum_id, route, CASE state WHEN 'completed' THEN 'fulfilled' WHEN 'scheduled' THEN 'booked' ELSE 'cancelled' END,
       starts_at, starts_at + interval '30 minutes', $zones, CASE state WHEN 'cancelled' THEN 'no_longer_needed' END, 0, answered_at,
       CASE state WHEN 'scheduled' THEN starts_at - interval '30 minutes' END, answered_at,
       programme_id, asking_id, clinician_id, CASE WHEN NOT is_forgotten THEN 'ward ' || h % 5 END
FROM cases WHERE has_visit ORDER BY visit_id;
INSERT INTO participant (appointment_id, person_id, institution_id, role, status, offer_id, zone, wall, starts_at)
SELECT visit_id, clinician_id, asking_id, 'clinician', 'needs-action', NULL, 'Europe/Kyiv', starts_at AT TIME ZONE 'Europe/Kyiv', starts_at FROM cases WHERE has_visit
UNION ALL SELECT visit_id, mentor_id, answering_id, 'mentor', 'accepted', offer_id, mentors_zone, starts_at AT TIME ZONE mentors_zone, starts_at
FROM cases WHERE has_visit ORDER BY 1;
INSERT INTO seat (appointment_id, person_id, during)
SELECT visit_id, who, tstzrange(starts_at, starts_at + interval '40 minutes')
FROM cases, unnest(ARRAY[clinician_id, mentor_id]) AS who WHERE has_visit AND state <> 'cancelled' ORDER BY 1
ON CONFLICT DO NOTHING; -- who is occupied by another case: people of a made-up past meet two at once
INSERT INTO advice (id, consultation_id, offer_id, mentor_id, text, minutes, given_at)
SELECT pg_temp.v7(closed_at, name || ' advice'), c.id, offer_id, mentor_id, NULL, minutes, closed_at
FROM cases c WHERE is_written ORDER BY 1;
INSERT INTO session (id, appointment_id, consultation_id, memorandum_id, programme_id, route, mode, specialty_code, priority,
    requesting_institution_id, partner_institution_id, clinician_id, mentor_id, participants, started_at, ended_at, minutes, outcome,
    is_civil_for_requester, is_civil_for_mentor, is_corrected, is_memorandum_chosen_anew, conclusion)
SELECT session_id, CASE WHEN has_visit THEN visit_id END, c.id, memorandum_id, programme_id, route, CASE WHEN is_written THEN 'written' ELSE 'live' END,
       specialty, priority, asking_id, answering_id, clinician_id, mentor_id, ARRAY[clinician_id, mentor_id], starts_at,
       starts_at + make_interval(mins => minutes), minutes,
       CASE WHEN is_written THEN 'advice_given'
            ELSE (ARRAY['advice_given', 'advice_given', 'advice_given', 'plan_changed', 'referred', 'interrupted_alert'])[1 + h / 8 % 6] END,
       h % 5 > 0, h2 % 4 > 0, false, false, texts.conclusion
FROM cases c LEFT JOIN texts USING (id) WHERE was_held ORDER BY session_id;
INSERT INTO log_entry (id, memorandum_id, position, kind, logged_at, logged_by, previous_hash, hash)
SELECT session_id, c.memorandum_id, coalesce(l.position, 0) + row_number() OVER (PARTITION BY c.memorandum_id ORDER BY session_id),
       CASE WHEN is_written THEN 'advice' ELSE 'session' END, closed_at, mentor_id, md5(name) || md5(name || 1), md5(name || 2) || md5(name || 3)
FROM cases c LEFT JOIN log_head l ON l.memorandum_id = c.memorandum_id WHERE was_held ORDER BY session_id;
INSERT INTO log_head (memorandum_id, position, hash)
SELECT memorandum_id, count(*), max(md5(name || 2) || md5(name || 3)) FROM cases WHERE was_held GROUP BY memorandum_id
ON CONFLICT (memorandum_id) DO UPDATE SET position = log_head.position + excluded.position, hash = excluded.hash;
INSERT INTO feedback (id, session_id, person_id, side, is_useful, patient_outcome, given_at)
SELECT pg_temp.v7(least(closed_at + interval '1 day', $now), name || side), session_id, CASE side WHEN 'partner' THEN mentor_id ELSE clinician_id END, side, h % 5 > 0,
       CASE side WHEN 'requesting' THEN (ARRAY['better', 'same', 'worse'])[1 + h % 3] END, least(closed_at + interval '1 day', $now)
FROM cases, unnest(ARRAY['requesting', 'partner']) AS side WHERE was_held AND (h / 4 + length(side)) % 5 > 1 ORDER BY 1;
INSERT INTO audit (id, at, actor_kind, person_id, action, subject, subject_id, request_id, details)
SELECT pg_temp.v7(at, name || ' read ' || k), at, 'person', who, 'read_case_text', CASE k WHEN 4 THEN 'session' ELSE 'consultation' END,
       CASE k WHEN 4 THEN session_id ELSE id END, pg_temp.v7(at, name || ' asked ' || k)::text, '{}'
FROM cases, LATERAL (VALUES (0, opened_at, clinician_id), (1, opened_at + interval '10 minutes', mentor_id), (2, answered_at, mentor_id),
       (4, closed_at, CASE WHEN was_held THEN mentor_id END)) AS read (k, at, who)
WHERE at IS NOT NULL AND who IS NOT NULL AND at <= $now ORDER BY 1;

-- part kept
-- What is kept for a time only: mails 400 days, attempts 90, events, webhooks and links 30.
CREATE TEMPORARY TABLE mail AS
SELECT c.*, t.template, t.at, t.who, t.k, t.is_calendar, pg_temp.v7(t.at, c.name || t.template || t.k) AS mail_id
FROM cases c, LATERAL (VALUES
    ('offer', opened_at + interval '1 second', mentor_id, 1, false, state <> 'draft' AND state <> 'open'),
    ('offer', opened_at + interval '1 second', rival_id, 2, false, state <> 'draft' AND state <> 'open'),
    ('receipt', opened_at + interval '1 second', clinician_id, 1, false, state <> 'draft'),
    ('offer_closed', answered_at, rival_id, 1, false, has_visit OR was_held),
    ('booked', answered_at, clinician_id, 1, true, has_visit), ('booked', answered_at, mentor_id, 2, true, has_visit),
    ('reminder', starts_at - interval '30 minutes', clinician_id, 1, false, has_visit AND was_held),
    ('reminder', starts_at - interval '30 minutes', mentor_id, 2, false, has_visit AND was_held),
    ('feedback', closed_at, clinician_id, 1, false, was_held), ('feedback', closed_at, mentor_id, 2, false, was_held)
) AS t (template, at, who, k, is_calendar, is_sent)
WHERE t.is_sent AND t.at > $now - interval '400 days' AND t.at <= $now;
INSERT INTO delivery (id, kind, person_id, appointment_id, offer_id, sequence, payload, state, attempt, created_at, settled_at, request_id)
SELECT mail_id, 'mail', who, CASE WHEN template IN ('booked', 'reminder') THEN visit_id END,
       CASE template WHEN 'offer' THEN CASE k WHEN 1 THEN offer_id ELSE other_id END END, CASE WHEN template IN ('booked', 'reminder') THEN 0 END,
       jsonb_build_object('dated', at, 'locale', 'en', 'template', template, 'links', CASE WHEN template IN ('receipt', 'offer_closed') THEN '{}'::jsonb
               ELSE jsonb_build_object(template, jsonb_build_object('id', pg_temp.v7(at, name || 'link ' || k), 'purpose', template)) END,
           'values', jsonb_build_object('mode', 'live', 'page', '/consultations/' || id, 'zone', mentors_zone, 'priority', priority,
               'specialty', jsonb_build_object('en', 'Specialty', 'uk', 'Specialty'), 'consultation_id', id, 'duration_minutes', 30)
           || CASE WHEN template IN ('offer', 'booked', 'reminder') THEN jsonb_build_object('starts_at', starts_at, 'answer_by', answered_at, 'offer_id', offer_id,
               'times', jsonb_build_array(jsonb_build_object('who', 'clinician', 'zone', 'Europe/Kyiv'),
                                          jsonb_build_object('who', 'mentor', 'zone', mentors_zone))) ELSE '{}' END)
       || CASE WHEN is_calendar THEN jsonb_build_object('calendar', jsonb_build_object('method', 'REQUEST', 'status', 'CONFIRMED', 'dtstamp', answered_at,
               'starts_at', starts_at, 'ends_at', starts_at + interval '30 minutes', 'sequence', 0, 'appointment_id', visit_id, 'attendees',
               jsonb_build_array(jsonb_build_object('role', 'clinician', 'partstat', 'NEEDS-ACTION', 'person_id', clinician_id),
                                 jsonb_build_object('role', 'mentor', 'partstat', 'ACCEPTED', 'person_id', mentor_id)))) ELSE '{}' END,
       CASE WHEN h2 % 500 = k THEN 'refused' ELSE 'delivered' END, 1, at, at + interval '1 second', pg_temp.v7(at, name || ' asked')::text
FROM mail ORDER BY mail_id;
INSERT INTO delivery_attempt (delivery_id, attempt, at, duration_ms, outcome, status, response)
SELECT mail_id, 1, at + interval '1 second', 40, 'delivered', 250, '2.0.0 Ok: queued' FROM mail WHERE at > $now - interval '90 days' ORDER BY 1;
DROP TABLE mail;
INSERT INTO link (id, person_id, purpose, subject_id, starts_at, expires_at, used_at, created_at)
SELECT pg_temp.v7(at, c.name || purpose || p.k), p.who, purpose, subject, CASE purpose WHEN 'offer.accept' THEN starts_at END, until,
       CASE WHEN p.k = 1 AND until < $now THEN at END, at
FROM cases c, LATERAL (VALUES
    ('offer.accept', opened_at, mentor_id, 1, offer_id, opened_at + interval '1 day', state <> 'draft' AND state <> 'open'),
    ('offer.accept', opened_at, mentor_id, 2, offer_id, opened_at + interval '1 day', state <> 'draft' AND state <> 'open'),
    ('offer.decline', opened_at, mentor_id, 3, offer_id, opened_at + interval '1 day', state <> 'draft' AND state <> 'open'),
    ('offer.counter', opened_at, mentor_id, 4, offer_id, opened_at + interval '1 day', state <> 'draft' AND state <> 'open'),
    ('offer.accept', opened_at, rival_id, 5, other_id, opened_at + interval '1 day', state <> 'draft' AND state <> 'open'),
    ('offer.decline', opened_at, rival_id, 6, other_id, opened_at + interval '1 day', state <> 'draft' AND state <> 'open'),
    ('join', answered_at, clinician_id, 2, visit_id, starts_at + interval '90 minutes', has_visit),
    ('join', answered_at, mentor_id, 3, visit_id, starts_at + interval '90 minutes', has_visit),
    ('feedback', closed_at, clinician_id, 1, session_id, closed_at + interval '30 days', was_held),
    ('feedback', closed_at, mentor_id, 2, session_id, closed_at + interval '30 days', was_held)
) AS p (purpose, at, who, k, subject, until, is_sent)
WHERE p.is_sent AND p.until > $now - interval '30 days' AND p.at <= $now ORDER BY 1;
INSERT INTO event (id, position, type, subject_id, subject_version, programme_id, memorandum_id, institution_ids, person_ids, occurred_at, body)
SELECT id, (SELECT coalesce(max(position), 0) FROM event) + row_number() OVER (ORDER BY id), type, subject, version, programme_id, memorandum_id,
       ARRAY[asking_id, answering_id], ARRAY[clinician_id, mentor_id], at,
       format('{"type":"%s","timestamp":"%s","data":{"id":"%s","version":%s,"consultation_id":"%s","memorandum_id":"%s","state":"%s","links":{"self":"/v1/%ss/%s"}}}',
              type, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), subject, version, case_id, memorandum_id, split_part(type, '.', 2),
              split_part(type, '.', 1), subject)
FROM (SELECT e.type, e.subject, e.version, e.at, c.programme_id, c.memorandum_id, c.asking_id, c.answering_id, c.clinician_id, c.mentor_id, c.id AS case_id,
             pg_temp.v7(e.at, c.name || e.type || e.subject) AS id
      FROM cases c, LATERAL (VALUES
          ('consultation.opened', id, 1, opened_at, state <> 'draft'), ('offer.sent', offer_id, 1, opened_at, state <> 'draft' AND state <> 'open'),
          ('offer.sent', other_id, 1, opened_at, state <> 'draft' AND state <> 'open'),
          ('consultation.offered', id, 2, opened_at, state <> 'draft' AND state <> 'open'),
          ('offer.accepted', offer_id, 2, answered_at, has_visit OR was_held), ('appointment.booked', visit_id, 1, answered_at, has_visit),
          ('consultation.scheduled', id, 3, answered_at, has_visit), ('offer.withdrawn', other_id, 2, answered_at, has_visit OR was_held),
          ('appointment.fulfilled', visit_id, 2, closed_at, has_visit AND was_held), ('session.logged', session_id, 1, closed_at, was_held),
          ('consultation.completed', id, 4, closed_at, was_held), ('consultation.cancelled', id, 4, closed_at, state = 'cancelled'),
          ('consultation.expired', id, 4, closed_at, state = 'expired')
      ) AS e (type, subject, version, at, is_told)
      WHERE e.is_told AND e.at > $now - interval '30 days' AND e.at <= $now) AS told ORDER BY id;
INSERT INTO delivery (id, kind, event_id, endpoint_id, body, state, attempt, created_at, settled_at)
SELECT pg_temp.v7(e.occurred_at, 'webhook' || e.id || w.id), 'webhook', e.id, w.id, e.body, 'delivered', 1, e.occurred_at, e.occurred_at + interval '1 second'
FROM event e JOIN webhook_endpoint w ON w.institution_id = ANY (e.institution_ids)
WHERE NOT EXISTS (SELECT FROM delivery d WHERE d.event_id = e.id) ORDER BY 1;

-- part done
DROP TABLE cases, texts;

-- part marks
INSERT INTO ranking_mark (subject_id) SELECT person_id FROM mentor_profile UNION ALL SELECT '00000000-0000-0000-0000-000000000000';
