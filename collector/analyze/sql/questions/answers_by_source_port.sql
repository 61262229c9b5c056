-- UDP answers by source port, day and country: which services are abused as reflectors.
SELECT date, port, country, SUM(packets) AS packets, SUM(sources) AS source_days
FROM ports_daily
WHERE protocol = 'udp' AND class = 'backscatter'
GROUP BY date, port, country
ORDER BY date, packets DESC, port, country NULLS LAST
