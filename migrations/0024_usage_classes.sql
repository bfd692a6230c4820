-- The rare classes of usage: sound and pictures in tokens, and what is not counted in tokens at all.
-- NULL where none was used, which is nearly always: an unused class takes a bit of a row, and a price
-- is there with its count. service_tier: which prices applied; NULL: the standard ones.
ALTER TABLE usage_events
    ADD COLUMN tokens_audio_input   bigint,
    ADD COLUMN tokens_audio_output  bigint,
    ADD COLUMN tokens_image_input   bigint,
    ADD COLUMN tokens_image_output  bigint,
    ADD COLUMN web_searches         bigint,
    ADD COLUMN search_units         bigint,
    ADD COLUMN images               bigint,
    ADD COLUMN audio_ms             bigint,
    ADD COLUMN characters           bigint,
    ADD COLUMN price_audio_input    bigint, -- picodollars per token
    ADD COLUMN price_audio_output   bigint,
    ADD COLUMN price_image_input    bigint,
    ADD COLUMN price_image_output   bigint,
    ADD COLUMN price_web_search     bigint, -- picodollars for one
    ADD COLUMN price_search_unit    bigint,
    ADD COLUMN price_image          bigint,
    ADD COLUMN price_audio_minute   bigint, -- picodollars for 60,000 of audio_ms
    ADD COLUMN price_character      bigint,
    ADD COLUMN service_tier         text CHECK (service_tier IN ('batch', 'flex', 'priority'));

ALTER TABLE usage_hourly
    ADD COLUMN tokens_audio_input   bigint,
    ADD COLUMN tokens_audio_output  bigint,
    ADD COLUMN tokens_image_input   bigint,
    ADD COLUMN tokens_image_output  bigint,
    ADD COLUMN web_searches         bigint,
    ADD COLUMN search_units         bigint,
    ADD COLUMN images               bigint,
    ADD COLUMN audio_ms             bigint,
    ADD COLUMN characters           bigint;

-- What the rare classes cost, in picodollars. The fraction that the division by a minute drops cannot
-- change the rounding of the whole, which is otherwise of whole picodollars.
CREATE FUNCTION headgate_rare_cost(
    tokens_audio_input bigint, tokens_audio_output bigint, tokens_image_input bigint,
    tokens_image_output bigint, web_searches bigint, search_units bigint, images bigint,
    audio_ms bigint, characters bigint,
    price_audio_input bigint, price_audio_output bigint, price_image_input bigint,
    price_image_output bigint, price_web_search bigint, price_search_unit bigint,
    price_image bigint, price_audio_minute bigint, price_character bigint) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(tokens_audio_input::numeric * price_audio_input, 0)
        + coalesce(tokens_audio_output::numeric * price_audio_output, 0)
        + coalesce(tokens_image_input::numeric * price_image_input, 0)
        + coalesce(tokens_image_output::numeric * price_image_output, 0)
        + coalesce(web_searches::numeric * price_web_search, 0)
        + coalesce(search_units::numeric * price_search_unit, 0)
        + coalesce(images::numeric * price_image, 0)
        + coalesce(div(audio_ms::numeric * price_audio_minute, 60000), 0)
        + coalesce(characters::numeric * price_character, 0);

-- All classes together, rounded once.
CREATE FUNCTION headgate_cost(
    tokens_input bigint, tokens_cache_read bigint, tokens_cache_write bigint,
    tokens_cache_write_1h bigint, tokens_output bigint, tokens_reasoning bigint,
    price_input bigint, price_cached_input bigint, price_cache_write bigint,
    price_cache_write_1h bigint, price_output bigint, price_reasoning bigint,
    rare_cost numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN div(tokens_input::numeric * price_input
        + tokens_cache_read::numeric * price_cached_input
        + tokens_cache_write::numeric * price_cache_write
        + tokens_cache_write_1h::numeric * price_cache_write_1h
        + tokens_output::numeric * price_output
        + tokens_reasoning::numeric * price_reasoning
        + rare_cost + 500, 1000);

ALTER TABLE usage_events
    -- least() passes over what is NULL, and a check that is NULL holds.
    ADD CONSTRAINT rare_never_negative CHECK (least(tokens_audio_input, tokens_audio_output,
        tokens_image_input, tokens_image_output, web_searches, search_units, images, audio_ms,
        characters, price_audio_input, price_audio_output, price_image_input, price_image_output,
        price_web_search, price_search_unit, price_image, price_audio_minute, price_character) >= 0),
    -- A count without its price could not be recomputed.
    ADD CONSTRAINT rare_with_price CHECK (
        num_nulls(tokens_audio_input, price_audio_input) <> 1 AND
        num_nulls(tokens_audio_output, price_audio_output) <> 1 AND
        num_nulls(tokens_image_input, price_image_input) <> 1 AND
        num_nulls(tokens_image_output, price_image_output) <> 1 AND
        num_nulls(web_searches, price_web_search) <> 1 AND
        num_nulls(search_units, price_search_unit) <> 1 AND
        num_nulls(images, price_image) <> 1 AND
        num_nulls(audio_ms, price_audio_minute) <> 1 AND
        num_nulls(characters, price_character) <> 1),
    DROP CONSTRAINT never_free_by_accident,
    ADD CONSTRAINT never_free_by_accident CHECK (cost_nanos > 0 OR headgate_cost(
        tokens_input, tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, tokens_output,
        tokens_reasoning, price_input, price_cached_input, price_cache_write, price_cache_write_1h,
        price_output, price_reasoning, headgate_rare_cost(tokens_audio_input, tokens_audio_output,
        tokens_image_input, tokens_image_output, web_searches, search_units, images, audio_ms,
        characters, price_audio_input, price_audio_output, price_image_input, price_image_output,
        price_web_search, price_search_unit, price_image, price_audio_minute,
        price_character)) = 0);

CREATE OR REPLACE VIEW usage_cost_differences AS
    SELECT attempt_id, request_id, cost_nanos, expected
    FROM (SELECT e.*, headgate_cost(tokens_input, tokens_cache_read, tokens_cache_write,
            tokens_cache_write_1h, tokens_output, tokens_reasoning, price_input, price_cached_input,
            price_cache_write, price_cache_write_1h, price_output, price_reasoning,
            headgate_rare_cost(tokens_audio_input, tokens_audio_output, tokens_image_input,
            tokens_image_output, web_searches, search_units, images, audio_ms, characters,
            price_audio_input, price_audio_output, price_image_input, price_image_output,
            price_web_search, price_search_unit, price_image, price_audio_minute,
            price_character)) AS expected
          FROM usage_events e) priced
    WHERE cost_nanos <> expected;
