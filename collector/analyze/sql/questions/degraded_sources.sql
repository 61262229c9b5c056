-- Distinct TCP sources of intervals whose flow table was full, from their sketches.
SELECT hll_sketch_estimate(hll_union_agg(sketch)) AS sources
FROM sketches
WHERE protocol = 'tcp' AND class IS NULL AND port IS NULL
