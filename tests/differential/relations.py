"""The tables and views of a lake, with the columns that statements use, by type."""

TRANSACTIONS = {
    "event_id": "text", "event_type": "text", "points": "int", "points_civilian": "int", "points_officer": "int", "donor_id": "text",
    "recipient_id": "text", "redeemer_id": "text", "civilian_id": "text", "officer_id": "text", "event_date": "date",
    "occurred_at": "moment", "zip_code": "text", "distance_ft": "float", "amount_cents": "int", "channel": "text",
}
RELATIONS = {
    "donations": {
        "event_id": "text", "points": "int", "donor_id": "text", "recipient_id": "text", "donor_kind": "text", "local_date": "date",
        "occurred_at": "moment", "event_date": "date", "zip_code": "text", "channel": "text",
    },
    "transactions": TRANSACTIONS,
    "interactions": {
        "event_id": "text", "points_civilian": "int", "points_officer": "int", "civilian_id": "text", "officer_id": "text", "method": "text",
        "local_date": "date", "occurred_at": "moment", "zip_code": "text", "distance_ft": "float", "channel": "text",
    },
    "redemptions": {
        "event_id": "text", "points": "int", "amount_cents": "int", "redeemer_id": "text", "provider_id": "text", "purpose": "text",
        "currency": "text", "local_date": "date", "occurred_at": "moment", "zip_code": "text", "redeemer_kind": "text",
    },
    "transfers": {
        "event_id": "text", "points": "int", "from_officer_id": "text", "to_officer_id": "text", "local_date": "date", "occurred_at": "moment",
    },
    "points_ledger": {
        "event_id": "text", "entry": "text", "points": "int", "user_id": "text", "user_kind": "text", "counterparty_id": "text",
        "local_date": "date", "occurred_at": "moment", "zip_code": "text",
    },
    "users": {
        "user_id": "text", "user_kind": "text", "zip_code": "text", "display_name": "text", "organization_name": "text", "status": "text",
        "created_at": "moment", "updated_at": "moment", "deactivated_at": "moment", "referred_by": "text",
    },
    "user_events": {
        "event_id": "text", "user_id": "text", "user_kind": "text", "event_type": "text", "occurred_at": "moment", "event_date": "date",
        "zip_code": "text", "display_name": "text", "status": "text", "channel": "text",
    },
    "redemption_items": {
        "event_id": "text", "sku": "text", "name": "text", "quantity": "int", "points": "int", "item_number": "int", "local_date": "date",
    },
}
# What names one row of a relation: for an order without ties.
ROW_NAMES = {name: ["event_id"] for name in RELATIONS} | {
    "points_ledger": ["event_id", "user_id", "entry", "points", "counterparty_id"],
    "users": ["user_id"],
    "redemption_items": ["event_id", "item_number"],
}

# The views once more, not by Bluelake's text: in DuckDB, over its tables.
SIGNED = [
    ("interaction", "civilian_id", "'civilian'", "minted", "points_civilian", "officer_id", "'police_officer'"),
    ("interaction", "officer_id", "'police_officer'", "minted", "points_officer", "civilian_id", "'civilian'"),
    ("donation", "donor_id", "donor_kind", "donated", "-points", "recipient_id", "recipient_kind"),
    ("donation", "recipient_id", "recipient_kind", "received", "points", "donor_id", "donor_kind"),
    ("redemption", "redeemer_id", "redeemer_kind", "redeemed", "-points", "provider_id", "provider_kind"),
    ("transfer", "from_officer_id", "'police_officer'", "transferred", "-points", "to_officer_id", "'police_officer'"),
    ("transfer", "to_officer_id", "'police_officer'", "transferred", "points", "from_officer_id", "'police_officer'"),
]
LAST_KNOWN = ["zip_code", "display_name", "organization_name", "referred_by"]


def view_definitions():
    """The SELECT of each view, for DuckDB."""
    day = "occurred_at::DATE AS local_date"
    kinds = {"donations": "donation", "interactions": "interaction", "redemptions": "redemption", "transfers": "transfer"}
    views = {name: f"SELECT *, {day} FROM transactions WHERE event_type = '{kind}'" for name, kind in kinds.items()}
    ledger = [
        f"SELECT event_id, '{entry}' AS entry, {points} AS points, {user} AS user_id, {kind} AS user_kind, {other} AS counterparty_id, "
        f"{other_kind} AS counterparty_kind, {day}, occurred_at, zip_code FROM transactions WHERE event_type = '{event}'"
        for event, user, kind, entry, points, other, other_kind in SIGNED
    ]
    views["points_ledger"] = " UNION ALL ".join(ledger)
    views["redemption_items"] = (
        "SELECT event_id, item.sku AS sku, item.name AS name, item.quantity AS quantity, item.points AS points, item_number, local_date FROM "
        f"(SELECT event_id, {day}, unnest(items) AS item, unnest(range(1, len(items) + 1)) AS item_number FROM transactions WHERE event_type = 'redemption')"
    )
    place = "row(occurred_at, arrived_at, stream_shard, length(stream_sequence), stream_sequence, stream_sub_sequence)"
    known = ", ".join(f"arg_max({name}, {place}) FILTER ({name} IS NOT NULL) AS {name}" for name in LAST_KNOWN)
    off = f"max({place}) FILTER (event_type = 'user_deactivated')"
    on = f"max({place}) FILTER (event_type = 'user_created' OR event_type = 'user_updated' AND status = 'active')"
    views["users"] = (
        f"SELECT *, CASE WHEN status = 'deactivated' THEN left_at END AS deactivated_at FROM (SELECT user_id, arg_max(user_kind, {place}) AS user_kind, "
        f"{known}, CASE WHEN {off} IS NOT NULL AND ({on} IS NULL OR {off} > {on}) THEN 'deactivated' ELSE 'active' END AS status, "
        "min(occurred_at) FILTER (event_type = 'user_created') AS created_at, max(occurred_at) AS updated_at, "
        "max(occurred_at) FILTER (event_type = 'user_deactivated') AS left_at FROM user_events GROUP BY user_id)"
    )
    return views
