-- Sources confirmed for each fingerprint by day (of --timezone), and their packets that count for it.
SELECT date, rule, COUNT(*) AS sources, SUM(hits) AS hits
FROM confirmed
GROUP BY date, rule
ORDER BY date, rule
