"""What the columns mean that the lake's tables have beside those of a contract."""

from __future__ import annotations

COLUMN_DESCRIPTIONS = {
    "event_id": "Identifier of the event; a repeated one is a duplicate.",
    "source": "Contract that the event was read by.",
    "device_id": "The device.",
    "event_time": "When the device measured, UTC.",
    "received_at": "When the edge received it, UTC.",
    "received_hour": "Arrival hour, the partition.",
    "receipt_id": "Post or file that brought the event.",
    "contract_version": "Version of the contract at the edge.",
    "judged_by": "Version of the contract whose rules refused the event.",
    "landing_version": "Version of landing/events that the event was read from.",
    "rules": "Rules that the event broke.",
    "reasons": "Rule, dimension, field and message of every broken rule, as JSON.",
    "payload": "Values of the event as JSON; personal ones are tokens.",
    "token_key_version": "Key version of the tokens in the row.",
    "shape": "Vendor shape the event was sent in.",
    "source_file": "CSV file the event came in, if any.",
    "source_row": "Row of that file, from 1.",
    "extras": "Fields that the contract does not know, as JSON.",
    "corrects": "The event that this one corrects; null for what is no correction.",
    "correction": "What a correction does to its event: replace or delete.",
    "correction_id": "The correction that holds of the event; null without one.",
    "corrected_event_id": "The event that this one is a version of.",
    "fate": "replaced, deleted, or deletion for the deletion itself.",
    "correction_receipt_id": "Receipt of the correction that holds.",
    "correction_received_at": "When that correction was received, UTC.",
}
