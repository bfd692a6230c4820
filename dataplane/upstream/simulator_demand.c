#include "dataplane/upstream/simulator_demand.h"

#include "dataplane/upstream/simulator_write.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
simulator_sign(enum sim_signed what, uint32_t turn, struct slice text,
               char ret_signature[static SIM_SIGNATURE_BYTES])
{
    static const char *const names[] = {"reasoning", "whole", "call"};
    unsigned char bytes[2 * SHA256_BYTES];
    char head[48];
    snprintf(head, sizeof(head), "simulator/%s/%08x/", names[what], turn);
    struct slice pieces[2] = {slice_of(head), text};
    hash_sha256_pieces(pieces, 2, bytes);
    hash_sha256(bytes, SHA256_BYTES, bytes + SHA256_BYTES);
    bytes[0] = 0xfb, bytes[1] = 0xff, bytes[2] = 0xbf; /* "+/+/": what other alphabets lack */
    size_t n = base64_encode(bytes, sizeof(bytes), ret_signature);
    ret_signature[n] = '\0';
}

static bool
is_signature(struct slice given, enum sim_signed what, uint32_t turn, struct slice text)
{
    char own[SIM_SIGNATURE_BYTES];
    simulator_sign(what, turn, text, own);
    return slice_is(given, own);
}

/* The turn that an id of a call tells. */
static bool
turn_of(struct slice id, uint32_t *ret_turn)
{
    char hex[9], *end;
    if (!slice_starts(id, SLICE("call_sim")) || id.len < 16)
        return false;
    memcpy(hex, id.at + 8, 8);
    hex[8] = '\0';
    *ret_turn = (uint32_t)strtoul(hex, &end, 16);
    return end == hex + 8;
}

static bool
has_encrypted(const struct json *list, uint32_t turn)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (is_signature(json_str(json_get(json_at(list, i), "data")), SIGNED_WHOLE, turn,
                         SLICE("")))
            return true;
    return false;
}

/* Whether the signature is of all texts since the one before: clients of streams keep the pieces.
 */
static bool
has_reasoning(const struct json *list, uint32_t turn)
{
    struct buf text;
    bool is_there = false;
    buf_init(&text, LIMIT_ANSWER_BYTES);
    for (size_t i = 0; i < json_size(list) && !is_there; i++) {
        const struct json *entry = json_at(list, i);
        struct slice signature = json_str(json_get(entry, "signature"));
        if (buf_add_slice(&text, json_str(json_get(entry, "text"))))
            break;
        if (!signature.at)
            continue;
        is_there = is_signature(signature, SIGNED_REASONING, turn, buf_slice(&text));
        buf_clear(&text);
    }
    buf_free(&text);
    return is_there;
}

static const char *
fault_of_turn(const struct json *message, const struct simulator_plan *plan)
{
    const struct json *call = json_at(json_get(message, "tool_calls"), 0);
    const struct json *details = json_get(message, "reasoning_details");
    const struct json *google = json_get(json_get(call, "extra_content"), "google");
    uint32_t turn;
    if (!turn_of(json_str(json_get(call, "id")), &turn))
        return "The id of a tool call is not the one that was given.";
    if (plan->signature && !has_reasoning(details, turn))
        return "The reasoning before a tool call, or its signature, is missing or was altered.";
    if (plan->encrypted && !has_encrypted(details, turn))
        return "The encrypted reasoning before a tool call is missing or was altered.";
    if (plan->call_signature && !is_signature(json_str(json_get(google, "thought_signature")),
                                              SIGNED_CALL, turn, SLICE("")))
        return "The signature of a tool call is missing or was altered.";
    return NULL;
}

const char *
simulator_demand(const struct json *request, const struct simulator_plan *plan)
{
    const struct json *messages = json_get(request, "messages");
    const char *fault = NULL;
    for (size_t i = 0; i < json_size(messages) && !fault; i++) {
        const struct json *message = json_at(messages, i);
        if (json_size(json_get(message, "tool_calls")))
            fault = fault_of_turn(message, plan);
    }
    return fault;
}
