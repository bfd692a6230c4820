-- The audit log as it stands: without gaps, each row bound to the one before. (What a row's hash says of the row
-- itself, `headgate audit verify` recomputes.)
BEGIN;
SELECT plan(6);
SELECT cmp_ok((SELECT count(*) FROM audit_log), '>=', 5::bigint, 'there are rows');
SELECT is((SELECT count(*) FROM audit_log), (SELECT max(seq) FROM audit_log), 'numbered without a gap');
SELECT is((SELECT prev_hash FROM audit_log WHERE seq = 1), decode(repeat('00', 32), 'hex'), 'the first one has none before it');
SELECT is_empty('SELECT b.seq FROM audit_log a JOIN audit_log b ON b.seq = a.seq + 1 WHERE b.prev_hash <> a.hash',
    'each names the hash of the one before');
SELECT is((SELECT count(DISTINCT hash) FROM audit_log), (SELECT count(*) FROM audit_log), 'no two have the same');
SELECT is_empty($$SELECT seq FROM audit_log WHERE detail::text ~ '(sk-hg-[A-Za-z0-9_-]{10}|hgat_[A-Za-z0-9_-]{10})'$$,
    'and none has a key or a token in it');
SELECT * FROM finish();
ROLLBACK;
