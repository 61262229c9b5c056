-- One row per protocol, class, port and country of one sensor's day, and one without country and
-- sources for the packets of a cell that have no flow row, so that SUM(packets) is that of `ports`.
--
-- Reads: flows_daily, research_daily, ports (the day of one sensor).
-- The first side of a join is held in memory: it is never flows_daily.
-- Runs unchanged on DataFusion and Spark SQL.
WITH marked AS (
  SELECT
    f.protocol, f.class, f.port, f.country, f.packets, f.bytes,
    CASE WHEN f.listed4 IS NOT NULL OR r6.source6 IS NOT NULL THEN 1 ELSE 0 END AS research
  FROM (SELECT source6 FROM research_daily WHERE source6 IS NOT NULL) r6
  RIGHT JOIN (
    SELECT
      f.protocol, f.class, f.port, f.country, f.packets, f.bytes, f.source6,
      r4.source4 AS listed4
    FROM (SELECT source4 FROM research_daily WHERE source4 IS NOT NULL) r4
    RIGHT JOIN flows_daily f ON f.source4 = r4.source4
  ) f ON f.source6 = r6.source6
),
known AS (
  SELECT
    protocol, class, port, country,
    SUM(packets) AS packets,
    SUM(bytes) AS bytes,
    -- flows_daily has each flow key once, so that the rows of a cell are its sources.
    COUNT(*) AS sources,
    SUM(packets * research) AS research_packets,
    SUM(bytes * research) AS research_bytes,
    SUM(research) AS research_sources
  FROM marked
  GROUP BY protocol, class, port, country
),
difference AS (
  SELECT protocol, class, port, packets, bytes FROM ports
  UNION ALL
  SELECT protocol, class, port, -packets AS packets, -bytes AS bytes FROM known
),
rowless AS (
  SELECT protocol, class, port, SUM(packets) AS packets, SUM(bytes) AS bytes
  FROM difference
  GROUP BY protocol, class, port
  HAVING SUM(packets) <> 0 OR SUM(bytes) <> 0
)
SELECT
  protocol, class, port, country, packets, bytes, sources,
  research_packets, research_bytes, research_sources
FROM known
UNION ALL
SELECT
  protocol, class, port, NULL AS country, packets, bytes, NULL AS sources,
  NULL AS research_packets, NULL AS research_bytes, NULL AS research_sources
FROM rowless
ORDER BY protocol, class, port NULLS FIRST, country NULLS LAST, sources NULLS LAST
