"""Every rule a row of a feed can break, and what it means in one sentence.

The names are stored in the quarantine and shown to people; a test says that the code uses these and no others, and
that the guide explains each.
"""

from __future__ import annotations

RULES = {
    # What never became a row.
    "ragged_row": "the row has more or fewer fields than the header",
    "unclosed_quote": "a quote is opened and never closed, so nobody knows where the field ends",
    "bad_utf8": "the row holds bytes that are no UTF-8 (the file may be Latin-1 or Windows-1252)",
    # What no field may hold.
    "nul_character": "the row holds a NUL byte",
    "oversize_field": "a field is larger than 64 KiB",
    "control_character": "a field holds a control character, a line break or a mark that turns text round",
    # Who it is about.
    "customer_id_missing": "the row names no customer",
    "customer_id_placeholder": "the customer is called NULL, None, NaN or the like",
    "customer_id_too_long": "the customer's id has more than 256 characters",
    "customer_id_conflict": "an earlier row says something else about this customer; the earlier one stays",
    # Times.
    "timestamp_missing": "there is no time",
    "timestamp_unparsable": "the time is not written as 2026-11-21, 2026-11-21 09:30 or 2026-11-21T09:30:00+01:00",
    "timestamp_impossible": "there is no such day or hour (30 February, 25 o'clock)",
    "timestamp_excel_serial": "the time is a spreadsheet's count of days (46023): export it as a date",
    "timestamp_epoch": "the time is a count of seconds (1767322800): export it as a date",
    "timestamp_naive": "the time has no offset and the source declares no timezone; this holds the whole source",
    "timestamp_future": "the time is more than five minutes ahead",
    "timestamp_ancient": "the time is before 1990",
    # Amounts.
    "amount_unparsable": "the amount is no number",
    "amount_decimal_comma": 'the amount has a decimal comma: say so with decimal: ","',
    "amount_not_finite": "the amount is infinite or NaN",
    "amount_out_of_range": "the amount is beyond a million million",
    # Events.
    "behaviour_missing": "the row names no behaviour and the source declares none",
    "behaviour_malformed": "the behaviour is no name of small letters, digits and _",
    "behaviour_unknown": "no policy, no source and no standard knows this behaviour",
    "event_id_too_long": "the event's id has more than 256 characters",
    "event_id_conflict": "this id belongs to another event already; the first one stays",
    # Contacts.
    "name_too_long": "a name, region or category has more than 200 characters",
    "country_unknown": "the country is no ISO 3166 code of two letters",
    "locale_unknown": "the locale is not written as fr or fr-CA, or its language or country does not exist",
    "timezone_unknown": "there is no time zone of this name",
    # Consents.
    "channel_unknown": "the channel is none of email, sms, whatsapp",
    "purpose_malformed": "the purpose is no name of small letters, digits, _ and -",
    "status_unknown": "the status is neither granted nor withdrawn",
    "basis_unknown": "the basis is none that winback knows",
}
