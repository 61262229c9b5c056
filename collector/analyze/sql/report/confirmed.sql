-- Sources that fingerprints are confirmed for, day by day, over all sensors, with the packets that
-- count for them: section "Confirmed sources" of ARCHITECTURE.md. Other questions read the answer as
-- table `confirmed`.
--
-- Fingerprints without `when` have no rows in fingerprints: columns of flows carry the values of their
-- expressions, and the ledger names the fingerprint of each column, in a text such as 'a/1,,b/2'. A
-- day of a sensor with one such text is read from flows_daily, other days interval by interval.
--
-- Reads: fingerprints, flows and ledger (`date` is the day of the zone), flows_daily, ledger_daily,
-- chosen_supersedes (rule, superseded), in which a rule that supersedes others is also paired with
-- itself. Of a join's two sides the first is held in memory.
-- Runs unchanged on DataFusion and Spark SQL.
WITH matched AS (
  SELECT date, rule, source4, source6, SUM(hits) AS hits
  FROM fingerprints
  GROUP BY date, rule, rule_version, source4, source6
  HAVING SUM(hits) >= 3
    AND (MIN(constant_min) IS NULL OR MIN(constant_min) = MAX(constant_max))
),
whole_days AS (
  SELECT date, sensor, constants_first AS constants
  FROM ledger_daily
  WHERE constants_first = constants_last
),
-- Two runs with different rules may share an interval: its rows are of either.
intervals AS (
  SELECT l.date, l.sensor, l.interval_start, MIN(l.constants) AS constants
  FROM ledger l
  LEFT JOIN whole_days d ON l.date = d.date AND l.sensor = d.sensor
  WHERE d.date IS NULL
  GROUP BY l.date, l.sensor, l.interval_start
  HAVING MIN(l.constants) = MAX(l.constants)
),
in_force AS (
  SELECT date, constants FROM whole_days
  UNION
  SELECT date, constants FROM intervals
),
-- Sets of columns by number; `several`: the day has more than one.
numbered AS (
  SELECT
    i.date,
    i.constants,
    DENSE_RANK() OVER (ORDER BY i.constants) AS number,
    CASE WHEN COUNT(*) OVER (PARTITION BY i.date) > 1 THEN 1 ELSE 0 END AS several
  FROM in_force i
),
probes AS (
  SELECT
    f.date, n.number, n.several, f.source4, f.source6, f.packets,
    f.constant1, f.constant2, f.constant3, CAST(COALESCE(f.refuted, 0) AS INT) AS refuted
  FROM (
    SELECT d.date, d.sensor, n.number, n.several
    FROM whole_days d
    JOIN numbered n ON d.date = n.date AND d.constants = n.constants
  ) n
  JOIN flows_daily f ON n.date = f.date AND n.sensor = f.sensor
  WHERE f.protocol = 'tcp' AND f.class = 'scan'
  UNION ALL
  SELECT
    f.date, n.number, n.several, f.source4, f.source6, f.packets,
    f.constant1, f.constant2, f.constant3, CAST(COALESCE(f.refuted, 0) AS INT) AS refuted
  FROM (
    SELECT i.sensor, i.interval_start, n.number, n.several
    FROM intervals i
    JOIN numbered n ON i.date = n.date AND i.constants = n.constants
  ) n
  JOIN flows f ON n.sensor = f.sensor AND n.interval_start = f.interval_start
  WHERE f.protocol = 'tcp' AND f.class = 'scan'
),
by_source AS (
  SELECT
    date,
    number,
    MAX(several) AS several,
    source4,
    source6,
    SUM(CASE WHEN constant1 IS NOT NULL OR (refuted & 1) <> 0 THEN packets ELSE 0 END) AS hits1,
    SUM(CASE WHEN constant2 IS NOT NULL OR (refuted & 2) <> 0 THEN packets ELSE 0 END) AS hits2,
    SUM(CASE WHEN constant3 IS NOT NULL OR (refuted & 4) <> 0 THEN packets ELSE 0 END) AS hits3,
    MAX(CASE WHEN (refuted & 1) <> 0 THEN 1 ELSE 0 END) AS refuted1,
    MAX(CASE WHEN (refuted & 2) <> 0 THEN 1 ELSE 0 END) AS refuted2,
    MAX(CASE WHEN (refuted & 4) <> 0 THEN 1 ELSE 0 END) AS refuted3,
    MIN(constant1) AS least1,
    MIN(constant2) AS least2,
    MIN(constant3) AS least3,
    MAX(constant1) AS greatest1,
    MAX(constant2) AS greatest2,
    MAX(constant3) AS greatest3
  FROM probes
  GROUP BY date, number, source4, source6
  HAVING SUM(packets) >= 3 OR MAX(several) = 1
),
columns_of AS (
  SELECT DISTINCT number, 1 AS place, SPLIT_PART(constants, ',', 1) AS fingerprint FROM numbered
  UNION ALL
  SELECT DISTINCT number, 2 AS place, SPLIT_PART(constants, ',', 2) AS fingerprint FROM numbered
  UNION ALL
  SELECT DISTINCT number, 3 AS place, SPLIT_PART(constants, ',', 3) AS fingerprint FROM numbered
),
placed AS (
  SELECT
    s.date,
    s.several,
    c.fingerprint,
    s.source4,
    s.source6,
    CASE WHEN c.place = 1 THEN s.hits1 WHEN c.place = 2 THEN s.hits2 ELSE s.hits3 END AS hits,
    CASE WHEN c.place = 1 THEN s.refuted1 WHEN c.place = 2 THEN s.refuted2 ELSE s.refuted3 END
      AS refuted,
    CASE WHEN c.place = 1 THEN s.least1 WHEN c.place = 2 THEN s.least2 ELSE s.least3 END AS least,
    CASE WHEN c.place = 1 THEN s.greatest1 WHEN c.place = 2 THEN s.greatest2 ELSE s.greatest3 END
      AS greatest
  FROM columns_of c
  JOIN by_source s ON c.number = s.number
  WHERE c.fingerprint <> ''
),
carried AS (
  SELECT
    date, SPLIT_PART(fingerprint, '/', 1) AS rule, source4, source6, SUM(hits) AS hits
  FROM placed
  WHERE several = 1 OR (hits >= 3 AND refuted = 0 AND least = greatest)
  GROUP BY date, fingerprint, source4, source6
  HAVING SUM(hits) >= 3 AND MAX(refuted) = 0 AND MIN(least) = MAX(greatest)
),
-- A source of a rule is not a source of the rules that it supersedes.
claims AS (
  SELECT
    c.date,
    COALESCE(s.superseded, c.rule) AS rule,
    c.source4,
    c.source6,
    CASE WHEN s.superseded <> c.rule THEN 0 ELSE c.hits END AS hits,
    CASE WHEN s.superseded <> c.rule THEN 1 ELSE 0 END AS superseded
  FROM chosen_supersedes s
  RIGHT JOIN (
    SELECT date, rule, source4, source6, hits FROM matched
    UNION ALL
    SELECT date, rule, source4, source6, hits FROM carried
  ) c ON s.rule = c.rule
)
SELECT date, rule, source4, source6, SUM(hits) AS hits
FROM claims
GROUP BY date, rule, source4, source6
HAVING MAX(superseded) = 0
