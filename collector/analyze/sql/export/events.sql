-- Rows of flows in the order in which events are put together, each with how many of its packets match
-- rules that set an event's fields.
--
-- Reads: flows, fingerprints, chosen_event_fields (rule, field), whose fields are numbered from 1.
-- event_key() is the event's port in the high bits and its kind of traffic in the low 8.
-- Of a join's two sides the first is held in memory: it is not flows.
WITH matching AS (
  SELECT
    f.sensor, f.interval_start, f.source4, f.port,
    SUM(CASE WHEN c.field = 1 THEN f.hits ELSE 0 END) AS field1,
    SUM(CASE WHEN c.field = 2 THEN f.hits ELSE 0 END) AS field2,
    SUM(CASE WHEN c.field = 3 THEN f.hits ELSE 0 END) AS field3
  FROM chosen_event_fields c
  JOIN (SELECT * FROM fingerprints WHERE @@which@@) f ON c.rule = f.rule
  WHERE f.source4 IS NOT NULL AND f.protocol = 'tcp'
  GROUP BY f.sensor, f.interval_start, f.source4, f.port
)
SELECT
  f.source4, f.source6,
  event_key(f.protocol, f.class, f.port, f.tcp_flags) AS event_key,
  f.interval_start, f.first_ms, f.duration_ms, f.packets, f.bytes, f.destinations, f.country, f.asn,
  m.field1, m.field2, m.field3
FROM matching m
RIGHT JOIN (SELECT * FROM flows WHERE @@which@@) f
  ON f.sensor = m.sensor AND f.interval_start = m.interval_start AND f.source4 = m.source4
    AND f.port = m.port AND f.protocol = 'tcp' AND f.class = 'scan'
ORDER BY f.source4 NULLS LAST, f.source6 NULLS LAST, event_key, f.interval_start, f.first_ms
