"""The one table of codes: what each says, and what whoever gets it can do about it.

`GET /problems/<code>` shows an entry, and the OpenAPI documents quote them. A code is a promise to client programs: it
is never renamed, and its entry is read by people who do not know this program.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A whole answer. `members` are those that its document has besides the usual ones, by example."""

    status: int
    title: str
    advice: str
    members: Mapping[str, Any] = {}


class FaultKind(NamedTuple):
    """What can be wrong with one value."""

    title: str
    advice: str


_TAKEN = {"pointer": "#/email", "code": "duplicate-key", "detail": "The value is taken.", "kind": "email"}
_UNFIT = {"pointer": "#/name", "code": "blank", "detail": "The value must not be blank."}

# what can be wrong with a value that is asked for: in a query the whole answer, in a body a fault
ASKED: Mapping[str, FaultKind] = {
    "sort-not-allowed": FaultKind(
        "Nothing is sorted by this", "Use one of those that the detail names; `relevance` needs a `q`."
    ),
    "limit-range": FaultKind("The limit lies outside its range", "Send a whole number from 1 to 200."),
    "date-format": FaultKind(
        "The value is not a date or time of this form", "Write dates as 2026-11-22, times as 2026-11-22T15:04:05Z."
    ),
    "range-inverted": FaultKind(
        "The range ends before it begins", "Let the end that the detail names lie after the beginning."
    ),
}

# whole answers
PROBLEMS: Mapping[str, Kind] = {
    **{code: Kind(400, asked.title, asked.advice) for code, asked in ASKED.items()},
    "malformed-json": Kind(
        400,
        "The body is not a JSON object",
        "Send one JSON object in UTF-8, each member once; the detail says where reading ended.",
    ),
    "invalid-id": Kind(400, "The identifier is not a UUID", "Use the id that was answered, in its form with hyphens."),
    "postal-code-invalid": Kind(
        400, "The value is not a postal code", "Send the eight digits of a CEP: 01001-000 or 01001000."
    ),
    "if-match-invalid": Kind(
        400,
        "The If-Match header is not a list of entity tags",
        'Send the ETag as it was answered, with its quotes: If-Match: "7".',
    ),
    "idempotency-key-invalid": Kind(
        400,
        "The Idempotency-Key header is not a key",
        "Send one key of 1 to 255 printable ASCII characters, such as a UUID, and send the header once.",
    ),
    "idempotency-key-required": Kind(
        400,
        "The request needs an Idempotency-Key",
        "Make a new random key for each command, keep it, and send it again with each retry.",
    ),
    "actor-invalid": Kind(
        400,
        "The CustomerFlow-Actor header names no actor",
        "Say user:<id> or service:<id>, the id of 1 to 64 letters, digits, dots, hyphens and underscores.",
    ),
    "correlation-id-invalid": Kind(
        400,
        "The CustomerFlow-Correlation-Id header is not a UUID",
        "Send a UUID in its form with hyphens, or leave the header out to be given one.",
    ),
    "unknown-parameter": Kind(
        400,
        "The query has a parameter that does not exist here",
        "Leave it out; the detail names those that the route takes.",
    ),
    "invalid-parameter": Kind(
        400, "A query parameter has an unfit value", "Correct the parameter that the detail names."
    ),
    "cursor-invalid": Kind(
        400, "The cursor is not one of ours, or has expired", "Begin again without a cursor; one is valid for a day."
    ),
    "cursor-mismatch": Kind(
        400,
        "The cursor belongs to another list",
        "Send it with the filters and the sort of the page it came with; another `limit` or `fields` does no harm.",
    ),
    "as-of-future": Kind(
        400, "The moment lies in the future", "Ask for a moment that has passed, or leave asOf out for the present."
    ),
    "subscription-name-invalid": Kind(
        400, "A subscription cannot have this name", "Use 1 to 40 small letters, digits and hyphens: a-z, 0-9, -."
    ),
    "bad-request": Kind(
        400, "The request cannot be understood", "Compare it with the OpenAPI document of this service."
    ),
    "unauthorized": Kind(401, "Credentials are missing or wrong", "Send a valid token as Authorization: Bearer."),
    "route-not-found": Kind(
        404,
        "There is nothing at this address",
        "Compare the path with the OpenAPI document; a value that holds a slash goes into a body, not into a path.",
    ),
    "customer-not-found": Kind(
        404, "There is no such customer", "Check the id; a customer that was just registered is there at once."
    ),
    "not-yet-registered": Kind(
        404,
        "The customer was not registered yet",
        "Ask for a later moment: `firstAt` is when the customer was registered.",
        {"firstAt": "2026-11-22T12:00:01.005Z"},
    ),
    "tax-id-not-found": Kind(
        404, "The customer has no such tax id", "Read the customer: it may have been removed already."
    ),
    "address-not-found": Kind(
        404, "The customer has no such address", "Read the customer: it may have been removed already."
    ),
    "postal-code-unknown": Kind(
        404,
        "Nobody knows this postal code",
        "Check it for a wrong or swapped digit; a new code may be known in an hour or some weeks.",
    ),
    "verification-not-found": Kind(
        404, "There is no code to deliver", "Drop the delivery: the code was used, replaced, or has expired."
    ),
    "not-parked": Kind(
        404,
        "The customer is not parked",
        "Nothing is left to mend: its events are applied, or there is no such customer.",
    ),
    "event-not-found": Kind(
        404,
        "There is no such event",
        "Compare the customer and the version; a database that was restored has lost some.",
    ),
    "replay-not-found": Kind(
        404, "The subscription has no such replay", "Compare the id with its list of replays; one is kept for 90 days."
    ),
    "webhook-not-found": Kind(
        404, "There is no such webhook", "Compare the id with the list of webhooks; it may have been deleted."
    ),
    "webhook-delivery-not-found": Kind(
        404,
        "The webhook has no such delivery",
        "List its deliveries: it may have been delivered, or discarded, meanwhile.",
    ),
    "dead-letter-not-found": Kind(
        404,
        "There is no such dead letter",
        "List the dead letters: it may have been retried, discarded, or dropped by its age.",
    ),
    "subscription-not-found": Kind(
        404,
        "There is no such subscription",
        "Compare the name with the list of subscriptions; it may have been removed.",
    ),
    "method-not-allowed": Kind(
        405, "The address does not take this method", "Use one of the methods that the Allow header names."
    ),
    "customer-archived": Kind(
        409, "The customer is archived", "Restore the customer first, if it is to be changed again."
    ),
    "customer-suspended": Kind(
        409,
        "The customer is suspended",
        "Reactivate the customer first; while suspended it grants no consent to marketing.",
    ),
    "erasure-pending": Kind(
        409,
        "The customer is about to be erased",
        "Cancel the erasure first; until then only consents can be withdrawn.",
        {"dueAt": "2026-12-22T15:04:05.123Z"},
    ),
    "invalid-transition": Kind(
        409,
        "The customer's status does not lead there",
        "Read `from`, the status that it has, and `allowed`, the statuses that lead on from there.",
        {"from": "suspended", "allowed": ["active", "archived"]},
    ),
    "contact-changed": Kind(
        409,
        "What was verified is not what the customer has now",
        "Read the customer, and have its present address or number verified.",
    ),
    "verification-too-soon": Kind(
        429,
        "A code has been issued a short time ago",
        "Wait until `retryAt`; each further code has to be waited for twice as long, up to a day.",
        {"retryAt": "2026-11-22T15:05:05.123Z"},
    ),
    "no-pending-verification": Kind(
        409,
        "No code is waiting for confirmation",
        "Ask for a new code: none was issued, or it has expired, was tried too often, or is for another address.",
    ),
    "tax-id-type-present": Kind(
        409, "The customer has another tax id of this type", "Remove that one first, if this one is to replace it."
    ),
    "consent-stale": Kind(
        409,
        "A newer record of this consent is there",
        "Drop the record: what the customer said later counts.",
    ),
    "legal-hold": Kind(409, "A legal hold forbids the erasure", "Lift the hold first, or wait until it ends."),
    "no-pending-erasure": Kind(409, "No erasure is pending", "Nothing is left to cancel."),
    "limit-reached": Kind(
        409,
        "The customer has as many of these as it may have",
        "Remove one first; `limit` is how many there may be.",
        {"limit": 20},
    ),
    "duplicate-key": Kind(
        409,
        "Another customer already uses this value",
        "Find the customer who has it: it may be the same one. `errors` says which values are taken.",
        {"errors": [_TAKEN]},
    ),
    "concurrent-modification": Kind(
        409, "Others kept changing this customer", "Read the customer, decide anew, and send the command again."
    ),
    "idempotency-in-flight": Kind(
        409,
        "The first request with this key is not answered yet",
        "Send the same request again after the seconds that Retry-After names.",
    ),
    "subscription-differs": Kind(
        409,
        "There is a subscription of this name, for something else",
        "Ask for exactly what it is, take another name, or remove it first; `differs` says where it differs.",
        {"differs": ["routingKeys", "limits.age"]},
    ),
    "subscription-incomplete": Kind(
        409,
        "Parts of the subscription are missing or have been changed",
        "See `faults`. To ask for the same subscription again completes it; what others have changed they must mend.",
        {"faults": ["the user is missing"]},
    ),
    "subscription-has-messages": Kind(
        409,
        "Messages would be lost",
        "Let the partner take its messages first, or remove with force=true: then they are gone. A number that is "
        "missing is not known yet.",
        {"messages": 12, "deadLetters": 1},
    ),
    "replay-unfinished": Kind(
        409,
        "Another replay of the subscription has not come to its end",
        "Wait for it, or cancel it; if it is paused or has failed it can be resumed.",
        {"replay": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"},
    ),
    "dead-letters-busy": Kind(409, "Somebody else is at these dead letters", "Try again when they are done."),
    "replay-over": Kind(
        409,
        "The replay has come to its end",
        "Begin another one if there is more to tell again.",
        {"state": "completed"},
    ),
    "webhook-changed": Kind(
        409,
        "Somebody else has changed the webhook at the same time",
        "Look at it, and ask again if it is not as you want it.",
    ),
    "subscription-changed": Kind(
        409,
        "The subscription is being changed by somebody else",
        "Look at the subscription, and begin again if it is not what you want.",
    ),
    "customer-erased": Kind(
        410,
        "The customer has been erased",
        "Delete what you hold of this customer; nothing can happen to it any more.",
        {"id": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11", "erasedAt": "2026-12-22T15:04:05.123Z"},
    ),
    "version-mismatch": Kind(
        412,
        "The customer has another version",
        "Read the customer at `currentVersion`, decide anew, and send that version as If-Match.",
        {"currentVersion": 7},
    ),
    "request-too-slow": Kind(408, "The request did not come in time", "Send it again, all of it at once."),
    "body-too-large": Kind(413, "The body is too large", "Send at most 256 KiB."),
    "unsupported-media-type": Kind(
        415,
        "The body has an unsupported media type",
        "Send the media type that the Accept or Accept-Patch header names, in UTF-8, without encoding.",
    ),
    "invalid-fields": Kind(
        422,
        "Some fields are not acceptable",
        "Correct every value that `errors` points at; all of them are listed.",
        {"errors": [_UNFIT]},
    ),
    "idempotency-key-reused": Kind(
        422,
        "The key was given before with another request",
        "Make a new key for each command, and keep one for retries of the very same request.",
    ),
    "verification-code-wrong": Kind(
        422,
        "The code is wrong",
        "Ask the customer again; each wrong code counts, and after five a new code must be asked for.",
        {"currentVersion": 7},
    ),
    "precondition-required": Kind(
        428,
        "The request must say which version it changes",
        "Read the customer and send its ETag as If-Match.",
    ),
    "quota-exceeded": Kind(
        429,
        "The client has used up its quota",
        "Send the same again after the seconds that Retry-After names. RateLimit tells what is left, RateLimit-Policy "
        "of how much.",
        {"violated-policies": ["client"]},
    ),
    "internal": Kind(
        500, "Something went wrong on our side", "Report the trace id; sending the same again may not help."
    ),
    "busy": Kind(503, "The service is busy", "Send the same again after the seconds that Retry-After names."),
    "switched-off": Kind(
        503,
        "The operators have switched this off",
        "Nothing was done. Send the same again after the seconds that Retry-After names, or later.",
    ),
    "unavailable": Kind(
        503,
        "A server that is needed does not answer",
        "Send the same again later, a command with the same Idempotency-Key: it may have taken effect.",
    ),
    "rebuilding": Kind(503, "The read model is being built", "Ask again after the seconds that Retry-After names."),
    "projection-behind": Kind(
        503,
        "The read model has not yet come that far",
        "Ask again after the seconds that Retry-After names, or wait longer with Prefer: wait=5. `currentVersion` or "
        "`currentPosition` is how far it has come.",
        {"currentVersion": 6},
    ),
}

# codes within `errors`
FAULTS: Mapping[str, FaultKind] = {
    **ASKED,
    "required": FaultKind("The value is missing", "Give the field; it may not be null."),
    "type": FaultKind("The value has another JSON type", "Send the JSON type that the detail names."),
    "blank": FaultKind("The value is blank", "Give at least one visible character, or leave an optional field out."),
    "too-long": FaultKind("The value is too long", "Shorten it to the length that the detail names."),
    "too-many": FaultKind("There are too many items", "Send at most as many as the detail names."),
    "invalid-characters": FaultKind(
        "The value has characters that cannot be kept",
        "Remove control characters, line breaks, direction marks and lone surrogates.",
    ),
    "format": FaultKind("The value has another form", "See the detail for its form."),
    "duplicate": FaultKind("The value stands there twice", "Keep one of the two; the pointer leads to the second."),
    "number-range": FaultKind("The number lies outside its range", "See the detail for what the range is."),
    "not-allowed": FaultKind("The value is none of those allowed", "Choose one of those that the detail names."),
    "unknown-field": FaultKind("There is no such field here", "Check its spelling; names are in camelCase."),
    "read-only-field": FaultKind("The field is set by the system", "Leave it out."),
    "not-patchable": FaultKind(
        "A patch cannot change this field", "Use the route for it: lists and the status have routes of their own."
    ),
    "email-syntax": FaultKind(
        "The value is not an e-mail address", "Send the bare address, without a name, quotes or comments."
    ),
    "email-domain": FaultKind(
        "The e-mail address has a domain that cannot receive", "Use a domain name that is registered and public."
    ),
    "phone-syntax": FaultKind("The value is not a phone number", "Send digits and usual punctuation only."),
    "phone-country-required": FaultKind(
        "A national phone number needs its country", "Send the number with + and country code, or give phoneCountry."
    ),
    "phone-ambiguous-prefix": FaultKind(
        "A phone number that begins with 00 can be read in two ways", "Write + in place of 00."
    ),
    "phone-invalid": FaultKind(
        "The country has no such phone number", "Check area code and length; old mobile numbers lack a digit."
    ),
    "tax-id-type-unknown": FaultKind("There is no such type of tax id", "Use a known type, or `other`."),
    "tax-id-length": FaultKind("The tax id has too few or too many characters", "Check that it fits its type."),
    "tax-id-format": FaultKind("The tax id has characters that its type does not have", "Check that it fits its type."),
    "tax-id-repeated": FaultKind("The tax id is one character, repeated", "Ask for the real number, or leave it out."),
    "tax-id-checksum": FaultKind("The check digits of the tax id do not fit", "Look for a wrong or swapped digit."),
    "country-unknown": FaultKind("There is no such country", "Use ISO 3166-1 alpha-2 in capitals: BR, GB."),
    "region-unknown": FaultKind(
        "The country has no such region", "Use the part of its ISO 3166-2 code that follows the hyphen: SP, CA."
    ),
    "postal-format": FaultKind("The country has no postal codes of this form", "Check postal code and country."),
    "postal-region-mismatch": FaultKind("The postal code lies in another region", "Check postal code and region."),
    "address-unknown": FaultKind("The customer has no such address", "Use an address id out of the customer."),
    "date-range": FaultKind("The date or time lies outside its range", "See the detail for what the range is."),
    "locale-invalid": FaultKind("The value is not a language tag", "Use BCP 47, such as pt-BR."),
    "timezone-unknown": FaultKind("There is no such time zone", "Use an IANA name, such as America/Sao_Paulo."),
    "tag-format": FaultKind(
        "The value cannot be a tag",
        "Use 1 to 50 lower-case letters, digits and _.:- , beginning with a letter or digit.",
    ),
    "url-refused": FaultKind(
        "Nothing is sent to this URL",
        "See the detail for the rule: https, a host with public addresses only, port 443 or from 1024, no user in it.",
    ),
    "external-id-personal": FaultKind(
        "The external id is personal data",
        "Use an id that is no e-mail address, phone number or tax id; or have the source declared personal, and send "
        "the id in the body.",
    ),
}

# what is accepted, and noted in the customer's `dataQuality`
ISSUES: Mapping[str, FaultKind] = {
    "name-unusual": FaultKind(
        "The name has no letter", "It is accepted, for real names surprise; ask the customer if in doubt."
    ),
    "city-unknown": FaultKind(
        "The city is not among those known of its region", "It is accepted; compare its spelling with the postal code."
    ),
}
