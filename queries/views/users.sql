-- grain: One row for each user_id, with the last known value of each field. Deactivated users are kept.
-- column: user_id (text) The user.
-- column: user_kind (text) civilian, police_officer, merchant, charity, family_in_need or municipality.
-- column: zip_code (text) Where the user lives or works.
-- column: display_name (text) Name. Personal.
-- column: email (text) E-mail address. Personal.
-- column: phone (text) Telephone number. Personal.
-- column: badge_number (text) Badge of an officer. Personal.
-- column: organization_name (text) Name of a merchant, charity or municipality.
-- column: referred_by (text) The user who brought this one.
-- column: status (text) active or deactivated.
-- column: created_at (timestamp) First creation; empty when it was not seen.
-- column: updated_at (timestamp) Newest event of the user.
-- column: deactivated_at (timestamp) Since when deactivated; empty for active users.

-- Events carry what is known at the time, so a field keeps its last known value. A user is deactivated until created again or
-- updated with status 'active'. Events are numbered all in one: numbering each user's apart takes twice the time.
WITH ordered AS (
    SELECT
        user_id,
        user_kind,
        zip_code,
        display_name,
        email,
        phone,
        badge_number,
        organization_name,
        referred_by,
        status,
        event_type,
        occurred_at,
        row_number() OVER (
            ORDER BY
                occurred_at,
                arrived_at,
                stream_shard,
                character_length(stream_sequence),
                stream_sequence,
                stream_sub_sequence
        ) AS position
    FROM user_events
),

latest AS (
    SELECT
        user_id,
        last_value(user_kind ORDER BY position) AS user_kind,
        last_value(zip_code ORDER BY position) FILTER (WHERE zip_code IS NOT NULL) AS zip_code,
        last_value(display_name ORDER BY position) FILTER (WHERE display_name IS NOT NULL) AS display_name,
        last_value(email ORDER BY position) FILTER (WHERE email IS NOT NULL) AS email,
        last_value(phone ORDER BY position) FILTER (WHERE phone IS NOT NULL) AS phone,
        last_value(badge_number ORDER BY position) FILTER (WHERE badge_number IS NOT NULL) AS badge_number,
        last_value(organization_name ORDER BY position) FILTER (WHERE organization_name IS NOT NULL)
            AS organization_name,
        last_value(referred_by ORDER BY position) FILTER (WHERE referred_by IS NOT NULL) AS referred_by,
        min(occurred_at) FILTER (WHERE event_type = 'user_created') AS created_at,
        max(occurred_at) AS updated_at,
        max(occurred_at) FILTER (WHERE event_type = 'user_deactivated') AS last_deactivated_at,
        max(position) FILTER (WHERE event_type = 'user_deactivated') AS deactivated_position,
        max(position) FILTER (
            WHERE event_type = 'user_created' OR (event_type = 'user_updated' AND status = 'active')
        ) AS activated_position
    FROM ordered
    GROUP BY user_id
)

SELECT
    user_id,
    user_kind,
    zip_code,
    display_name,
    email,
    phone,
    badge_number,
    organization_name,
    referred_by,
    CASE WHEN deactivated_position > coalesce(activated_position, 0) THEN 'deactivated' ELSE 'active' END AS status,
    created_at,
    updated_at,
    CASE WHEN deactivated_position > coalesce(activated_position, 0) THEN last_deactivated_at END AS deactivated_at
FROM latest
