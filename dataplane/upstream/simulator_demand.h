/*
 * The simulator's signatures: what a provider signs of its reasoning, and wants back unchanged.
 *
 * A signature is a hash of what is signed and of the turn it belongs to; there is no secret in it.
 * It is made for tests: that what came is what was given, to the byte and in its own turn.
 */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_DEMAND_H
#define DATAPLANE_UPSTREAM_SIMULATOR_DEMAND_H

#include "dataplane/upstream/simulator_answer.h"

enum sim_signed { SIGNED_REASONING, SIGNED_WHOLE, SIGNED_CALL };

/* Some 90 bytes of base64, '+' and '/' and '=' among them, as providers' are. */
#define SIM_SIGNATURE_BYTES 128
void simulator_sign(enum sim_signed what, uint32_t turn, struct slice text,
                    char ret_signature[static SIM_SIGNATURE_BYTES]);

#define SIM_CALL_ID "call_sim%08x" /* the first of a turn; the others have _2, _3 behind it */

/* Whether each turn of the conversation in which the simulator called tools came back with all that
 * the plan signs: NULL, or what is wrong. */
const char *simulator_demand(const struct json *request, const struct simulator_plan *plan);

#endif
