-- Alerts: what is to be sent of each crossing of a budget's threshold, to each channel that asks for it.

-- Whether an alert (its body) is about a budget: named, or of a team that is; without either, all are.
CREATE FUNCTION headgate_alert_covers(alert jsonb, of_budget text, budget jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN NOT alert ? 'budgets' AND NOT alert ? 'teams' THEN true
        ELSE coalesce(alert -> 'budgets' ? of_budget, false)
            OR coalesce(alert -> 'teams' ? (budget ->> 'team'), false)
            OR coalesce(alert -> 'teams' ? (SELECT p.body ->> 'team' FROM config_items p
                WHERE p.kind = 'projects' AND p.name = budget ->> 'project'), false) END;

-- One row for each crossing and channel, written with the crossing; one for each test, which is of no
-- budget. id goes out with every try: who gets it twice can tell. event: what is told, as it was then.
CREATE TABLE alert_deliveries (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    alert        text        NOT NULL,
    budget       text        NOT NULL DEFAULT '',
    subject      text        NOT NULL DEFAULT '',
    period_start timestamptz,
    percent      integer,
    event        jsonb       NOT NULL,
    state        text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed')),
    attempts     integer     NOT NULL DEFAULT 0, -- begun
    last_error   text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL DEFAULT now(),
    claimed_at   timestamptz, -- by the daemon that sends it now
    ended_at     timestamptz, -- sent, or given up
    UNIQUE (alert, budget, subject, period_start, percent)
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (due_at) WHERE state = 'pending';
CREATE INDEX alert_deliveries_created ON alert_deliveries (created_at, id);

CREATE FUNCTION headgate_alert_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    budget jsonb;
    p budget_periods;
    facts jsonb;
BEGIN
    SELECT c.body INTO budget FROM config_items c WHERE c.kind = 'budgets' AND c.name = NEW.budget;
    SELECT * INTO p FROM budget_periods b WHERE (b.budget, b.subject, b.period_start)
        = (NEW.budget, NEW.subject, NEW.period_start);
    facts := jsonb_build_object('budget', NEW.budget, 'per', budget -> 'per', 'subject', NEW.subject,
        'percent', NEW.percent, 'unit', p.unit, 'spent', headgate_amount(p.unit, NEW.spent),
        'limit', headgate_amount(p.unit, NEW.amount), 'period', budget -> 'period',
        'period_start', CASE WHEN p.period_end IS NOT NULL THEN to_char(NEW.period_start AT TIME ZONE 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS"Z"') END,
        'period_end', to_char(p.period_end AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
    INSERT INTO alert_deliveries (alert, budget, subject, period_start, percent, event)
        SELECT a.name, NEW.budget, NEW.subject, NEW.period_start, NEW.percent,
            jsonb_build_object('type', 'budget.threshold', 'timestamp',
                to_char(NEW.crossed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', facts)
        FROM config_items a
        WHERE a.kind = 'alerts' AND headgate_alert_covers(a.body, NEW.budget, budget)
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER budget_crossings_alert AFTER INSERT ON budget_crossings
    FOR EACH ROW EXECUTE FUNCTION headgate_alert_crossing();

-- What is booked before the first lease of a period crosses thresholds too.
CREATE FUNCTION headgate_budget_thresholds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.thresholds = '{}' THEN
        NEW.thresholds := coalesce((SELECT array_agg(t::integer ORDER BY t::integer)
            FROM config_items c, jsonb_array_elements_text(
                coalesce(c.body -> 'thresholds', '[50, 80, 95, 100]')) t
            WHERE c.kind = 'budgets' AND c.name = NEW.budget), '{}');
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER budget_periods_thresholds BEFORE INSERT ON budget_periods
    FOR EACH ROW EXECUTE FUNCTION headgate_budget_thresholds();

GRANT SELECT, INSERT, UPDATE, DELETE ON alert_deliveries TO headgate_app;
