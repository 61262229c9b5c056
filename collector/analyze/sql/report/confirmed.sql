-- Sources that a fingerprint is confirmed for, day by day, over all sensors: three matches, with a
-- constant expression where the rule has one. Other questions read the answer as table `confirmed`.
--
-- Bots of Mirai's predecessor have Mirai's mark, too: they are sources of mirai-precursor alone.
--
-- Rules that are nothing but an expression have no hits: flow rows carry their values, and
-- chosen_constants says which rule each place belongs to on the day.
--
-- Reads: fingerprints (`date` is the day of the report's zone), flows_daily,
-- chosen_constants (date, place, rule). Runs unchanged on DataFusion and Spark SQL.
WITH probes AS (
  SELECT
    date,
    source4,
    source6,
    packets,
    constant1,
    constant2,
    constant3,
    CASE WHEN (CAST(COALESCE(refuted, 0) AS INT) & 1) <> 0 THEN 1 ELSE 0 END AS refuted1,
    CASE WHEN (CAST(COALESCE(refuted, 0) AS INT) & 2) <> 0 THEN 1 ELSE 0 END AS refuted2,
    CASE WHEN (CAST(COALESCE(refuted, 0) AS INT) & 4) <> 0 THEN 1 ELSE 0 END AS refuted3
  FROM flows_daily
  WHERE protocol = 'tcp' AND class = 'scan'
),
by_source AS (
  SELECT
    date,
    source4,
    source6,
    SUM(CASE WHEN constant1 IS NOT NULL OR refuted1 = 1 THEN packets ELSE 0 END) AS hits1,
    SUM(CASE WHEN constant2 IS NOT NULL OR refuted2 = 1 THEN packets ELSE 0 END) AS hits2,
    SUM(CASE WHEN constant3 IS NOT NULL OR refuted3 = 1 THEN packets ELSE 0 END) AS hits3,
    CASE WHEN MAX(refuted1) = 0 AND MIN(constant1) = MAX(constant1) THEN 1 ELSE 0 END AS holds1,
    CASE WHEN MAX(refuted2) = 0 AND MIN(constant2) = MAX(constant2) THEN 1 ELSE 0 END AS holds2,
    CASE WHEN MAX(refuted3) = 0 AND MIN(constant3) = MAX(constant3) THEN 1 ELSE 0 END AS holds3
  FROM probes
  GROUP BY date, source4, source6
  HAVING SUM(packets) >= 3
),
placed AS (
  SELECT
    s.date,
    c.rule,
    s.source4,
    s.source6,
    CASE WHEN c.place = 1 THEN s.hits1 WHEN c.place = 2 THEN s.hits2 ELSE s.hits3 END AS hits,
    CASE WHEN c.place = 1 THEN s.holds1 WHEN c.place = 2 THEN s.holds2 ELSE s.holds3 END AS holds
  FROM chosen_constants c
  JOIN by_source s ON c.date = s.date
),
carried AS (
  SELECT date, rule, source4, source6, hits FROM placed WHERE hits >= 3 AND holds = 1
),
-- Mirai and its predecessor share a row, in which the predecessor's matches stand by themselves.
matched AS (
  SELECT
    date,
    CASE WHEN rule = 'mirai-precursor' THEN 'mirai' ELSE rule END AS rule,
    source4,
    source6,
    SUM(CASE WHEN rule = 'mirai-precursor' THEN 0 ELSE hits END) AS hits,
    MIN(CASE WHEN rule = 'mirai-precursor' THEN NULL ELSE constant_min END) AS least,
    MAX(CASE WHEN rule = 'mirai-precursor' THEN NULL ELSE constant_max END) AS greatest,
    SUM(CASE WHEN rule = 'mirai-precursor' THEN hits ELSE 0 END) AS before_hits,
    MIN(CASE WHEN rule = 'mirai-precursor' THEN constant_min END) AS before_least,
    MAX(CASE WHEN rule = 'mirai-precursor' THEN constant_max END) AS before_greatest
  FROM fingerprints
  GROUP BY
    date, CASE WHEN rule = 'mirai-precursor' THEN 'mirai' ELSE rule END, source4, source6
  HAVING SUM(hits) >= 3
),
judged AS (
  SELECT
    date,
    rule,
    source4,
    source6,
    hits,
    hits >= 3 AND (least IS NULL OR least = greatest) AS is_confirmed,
    before_hits,
    before_hits >= 3 AND (before_least IS NULL OR before_least = before_greatest) AS is_before
  FROM matched
)
SELECT
  date,
  CASE WHEN is_before THEN 'mirai-precursor' ELSE rule END AS rule,
  source4,
  source6,
  CASE WHEN is_before THEN before_hits ELSE hits END AS hits
FROM judged
WHERE is_before OR is_confirmed
UNION ALL
SELECT date, rule, source4, source6, hits FROM carried
