-- Rows of flows in the order in which events are put together, each with how many of its packets bear
-- the mark of a tool.
--
-- event_key() is the event's port in the high bits and its kind of traffic in the low 8.
-- Of a join's two sides the first is held in memory: it is not flows.
WITH marks AS (
  SELECT
    sensor, interval_start, source4, port,
    SUM(CASE WHEN rule LIKE 'zmap%' THEN hits ELSE 0 END) AS zmap,
    SUM(CASE WHEN rule LIKE 'masscan%' THEN hits ELSE 0 END) AS masscan,
    SUM(CASE WHEN rule = 'mirai' THEN hits ELSE 0 END) AS mirai
  FROM fingerprints
  WHERE @@which@@ AND source4 IS NOT NULL AND protocol = 'tcp'
  GROUP BY sensor, interval_start, source4, port
)
SELECT
  f.source4, f.source6,
  event_key(f.protocol, f.class, f.port, f.tcp_flags) AS event_key,
  f.interval_start, f.first_ms, f.duration_ms, f.packets, f.bytes, f.destinations, f.country, f.asn,
  m.zmap, m.masscan, m.mirai
FROM marks m
RIGHT JOIN (SELECT * FROM flows WHERE @@which@@) f
  ON f.sensor = m.sensor AND f.interval_start = m.interval_start AND f.source4 = m.source4
    AND f.port = m.port AND f.protocol = 'tcp' AND f.class = 'scan'
ORDER BY f.source4 NULLS LAST, f.source6 NULLS LAST, event_key, f.interval_start, f.first_ms
