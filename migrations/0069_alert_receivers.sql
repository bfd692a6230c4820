-- Of a mail to several, by address: who has it ("taken"), and whom the server refused for good (the
-- status). A further attempt goes to the others only.
ALTER TABLE alert_deliveries ADD COLUMN settled jsonb NOT NULL DEFAULT '{}'
    CHECK (jsonb_typeof(settled) = 'object');
