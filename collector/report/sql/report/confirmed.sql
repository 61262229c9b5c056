-- Sources that a fingerprint is confirmed for, day by day, over all sensors: three matches, with a
-- constant expression where the rule has one. Other questions read the answer as table `confirmed`.
--
-- Bots of Mirai's predecessor have Mirai's mark, too: they are sources of mirai-precursor alone.
--
-- Rules that are nothing but an expression have no hits: flow rows carry their values, and
-- chosen_constants says which rule each place belongs to on the day (`bit` is its bit of `refuted`).
--
-- Reads: fingerprints (`date` is the day of the report's zone), flows_daily,
-- chosen_constants (date, place, bit, rule). Runs unchanged on DataFusion and Spark SQL.
WITH probes AS (
  SELECT
    f.date,
    c.rule,
    f.source4,
    f.source6,
    f.packets,
    CASE WHEN c.place = 1 THEN f.constant1 WHEN c.place = 2 THEN f.constant2 ELSE f.constant3 END
      AS value,
    CASE WHEN (CAST(COALESCE(f.refuted, 0) AS INT) & c.bit) <> 0 THEN 1 ELSE 0 END AS refuted
  FROM flows_daily f
  JOIN chosen_constants c ON f.date = c.date
  WHERE f.protocol = 'tcp' AND f.class = 'scan'
),
carried AS (
  SELECT date, rule, source4, source6, SUM(packets) AS hits
  FROM probes
  WHERE value IS NOT NULL OR refuted = 1
  GROUP BY date, rule, source4, source6
  HAVING SUM(packets) >= 3 AND MAX(refuted) = 0 AND MIN(value) = MAX(value)
),
matched AS (
  SELECT date, rule, source4, source6, SUM(hits) AS hits
  FROM fingerprints
  GROUP BY date, rule, source4, source6
  HAVING SUM(hits) >= 3
    AND (MIN(constant_min) IS NULL OR MIN(constant_min) = MAX(constant_max))
),
predecessors AS (
  SELECT date, 'mirai' AS rule, source4
  FROM matched
  WHERE rule = 'mirai-precursor' AND source4 IS NOT NULL
)
SELECT m.date, m.rule, m.source4, m.source6, m.hits
FROM matched m
LEFT JOIN predecessors p ON m.date = p.date AND m.rule = p.rule AND m.source4 = p.source4
WHERE p.source4 IS NULL
UNION ALL
SELECT date, rule, source4, source6, hits FROM carried
