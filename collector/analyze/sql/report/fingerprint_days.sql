-- Confirmed sources and their hits, by day and rule.
--
-- Reads: confirmed. Runs unchanged on DataFusion and Spark SQL.
SELECT date, rule, COUNT(*) AS sources, SUM(hits) AS hits
FROM confirmed
GROUP BY date, rule
ORDER BY date, rule
