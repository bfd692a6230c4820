"""What test_schemathesis.py teaches schemathesis about this API. Loaded by it, not by pytest."""

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

# Well-formed in every respect that a schema can state, and refused for what it means. What a call is refused for
# that is NOT here, an unknown member, an unknown parameter, a body that is no JSON, the schema must say.
MEANING = {
    "invalid_field", "invalid_parameter",  # texts of a grammar: times, patterns, addresses, decimals of a range
    "invalid_cursor",                      # a cursor is good for the list that gave it
    "unknown_reference", "unknown_group", "unknown_marker", "does_not_compile", "limit_in_vain", "credential_unresolved",
    "group_cycle", "group_depth", "duplicate_name", "name_is_identity", "invalid_range", "missing_parameter",
    "no_session", "invalid_code",          # of a caller that signed in; of one that is about to
    "stale",                               # 412: an ETag of another revision
}
# The same of SCIM (RFC 7644, 3.12). What is JSON at all and has the members that are needed is not refused for its form.
SCIM_MEANING = {"invalidFilter", "invalidPath", "invalidValue", "noTarget", "mutability"}
# LiteLLM's errors have a kind and a text, and no code that tells a meaning from a form: of its calls all of this kind.
LITELLM_REFUSAL = "bad_request_error"
# Without these the caller would take away its own permissions, and test nothing from then on.
OWN = ("st-caller", "st-team")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if case.path in ("/auth/login", "/auth/callback") and response.status_code in (400, 503):
        return False # what is right there takes an identity provider that can be reached: test_sign_in.py
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in (400, 412):
        return True
    try:
        document = response.json()
        if "schemas" in document:
            return response.status_code != 412 and document.get("scimType") not in SCIM_MEANING
        if "error" in document:
            return document["error"].get("type") != LITELLM_REFUSAL
        return document.get("code") not in MEANING
    except ValueError:
        return True


@schemathesis.hook
def filter_case(context, case):
    method = case.method.upper()
    name = str((case.path_parameters or {}).get("name", ""))
    if method != "GET" and name in OWN:
        return False
    body = case.body if isinstance(case.body, dict) else {}
    if case.path.endswith("/config/apply"):
        return body.get("prune") is False or body.get("dry_run") is True or "prune" not in body
    if case.path.endswith("/rollback"):
        return body.get("dry_run") is True
    return body.get("name") not in OWN
