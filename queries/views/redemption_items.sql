-- grain: One row for each item of a redemption. Redemptions that list no items have none.
-- column: event_id (text) The redemption.
-- column: occurred_at (timestamp) When it happened.
-- column: event_date (date) Day of occurred_at in UTC, by which the table is partitioned.
-- column: local_date (date) Day of occurred_at in the time zone of the session.
-- column: redeemer_id (text) Who spends.
-- column: redeemer_kind (text) civilian, family_in_need or charity.
-- column: provider_id (text) Who accepts the points.
-- column: provider_kind (text) merchant or municipality.
-- column: item_number (number) Place in the redemption's list, from 1.
-- column: sku (text) The provider's number of the item.
-- column: name (text) What it is called.
-- column: quantity (count) How many.
-- column: points (points) Points for them all; empty when not told.

WITH listed AS (
    SELECT
        event_id,
        occurred_at,
        event_date,
        CAST(CAST(occurred_at AS TIMESTAMP(6) WITH TIME ZONE) AS DATE) AS local_date,
        redeemer_id,
        redeemer_kind,
        provider_id,
        provider_kind,
        unnest(items) AS item,
        unnest(range(1, CAST(cardinality(items) AS BIGINT) + 1)) AS item_number
    FROM transactions
    WHERE event_type = 'redemption' AND cardinality(items) > 0
)

SELECT
    event_id,
    occurred_at,
    event_date,
    local_date,
    redeemer_id,
    redeemer_kind,
    provider_id,
    provider_kind,
    item_number,
    item['sku'] AS sku,
    item['name'] AS name,
    item['quantity'] AS quantity,
    item['points'] AS points
FROM listed
